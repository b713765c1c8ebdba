"""How the accuracy of the real classifiers is counted, kept and shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.accuracy.bench import FRAMEWORK, Bench
from benchmarks.accuracy.catalogue import CLASSIFIERS, classifiers
from benchmarks.accuracy.forms import BF16, FORMS, FP32, INT8, measure
from benchmarks.accuracy.kept import Kept
from benchmarks.accuracy.page import Found, page
from benchmarks.accuracy.peer import PEER, Peer
from benchmarks.accuracy.scores import Score, divergence, score

from cvi.errors import InputError

SMALL = classifiers(["lenet"])[0]


def _rows(*rows: tuple[float, ...]) -> list[np.ndarray]:
    return [np.array([row], np.float32) for row in rows]


def test_images_that_are_lost_and_images_that_are_changed() -> None:
    reference = _rows((3, 1, 2), (3, 1, 2), (0, 5, 1))
    found = score("form", _rows((1, 3, 2), (4, 1, 2), (6, 5, 1)), reference, [0, 0, 0])
    assert (found.images, found.top1, found.top5, found.lost, found.changed) == (3, 2, 3, 0, 2)
    unlabelled = score("form", reference, reference, None)
    assert (unlabelled.top1, unlabelled.lost, unlabelled.changed, unlabelled.kl) == (
        None, None, 0, 0.0,
    )  # fmt: skip


def test_divergence_of_two_classes() -> None:
    p, q = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    expected = float((p * np.log(p / q)).sum())
    assert divergence(np.log(p) + 7, np.log(q)) == pytest.approx(expected, rel=1e-12)


def test_a_form_is_measured_once(tmp_path: Path, shared: Path) -> None:
    kept = Kept(tmp_path, SMALL)
    kept.keep(Score(form=INT8, images=2, changed=7))
    measure(SMALL, 2, kept)
    known = {form: kept.score(form) for form in (*FORMS, FRAMEWORK)}
    assert all(known.values())
    assert known[INT8] == Score(form=INT8, images=2, changed=7)
    measure(SMALL, 3, kept)
    assert {form.images for form in map(kept.score, FORMS) if form} == {3}


def test_our_fp32_is_the_framework(shared: Path) -> None:
    found = Bench(SMALL, 4).framework(2)
    assert (found.images, found.changed, found.top1) == (2, 0, None)
    assert 0 <= found.kl < 1e-9


def test_a_missing_peer_is_said(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(InputError, match="not installed"):
        Peer(tmp_path, tmp_path).measure(SMALL, 2, Kept(tmp_path, SMALL))


def test_the_page_names_missed_goals_and_what_is_missing() -> None:
    labelled, other = classifiers(["squeezenet"])[0], SMALL
    scores = {
        FP32: Score(form=FP32, images=500, top1=300, top5=400, lost=0),
        INT8: Score(form=INT8, images=500, top1=296, top5=400, lost=4, changed=9, kl=0.02),
        BF16: Score(form=BF16, images=500, top1=299, top5=400, lost=1, changed=1, kl=0.001),
        PEER: Score(form=PEER, images=500, top1=290, top5=399, lost=10, changed=30, kl=0.01),
    }
    text = page([Found(labelled, scores), Found(other, {}, problem="no frontend")])
    assert f"- {labelled.name}, INT8: 4 lost (at most 3)" in text
    assert f"- {labelled.name}, INT8: KL 0.02000, the peer's 0.01000" in text
    assert f"{labelled.name}, BF16" not in text
    assert f"| {labelled.name} | INT8 | 296 | 400 | 4 | 9 | 0.02000 |  | 290 / 399 | 10 |" in text
    assert f"- {other.name}: FP32, INT8" in text and "no frontend" in text
    assert f"- {labelled.name}: mixed 6, mixed 10, mixed 15, framework\n" in text


def test_every_classifier_has_a_folder_of_its_own() -> None:
    assert len({entry.slug for entry in CLASSIFIERS}) == len(CLASSIFIERS)


def test_the_files_are_there(shared: Path) -> None:
    for entry in CLASSIFIERS:
        assert entry.model.is_file()
        assert entry.weight_file is None or entry.weight_file.is_file()
