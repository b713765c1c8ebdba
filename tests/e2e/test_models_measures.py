"""What the verification of whole networks measures with, and the page it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.kept import KeptFolder
from benchmarks.verified import Case, Row, cases, page
from benchmarks.verify import Tally, Verification, ulps
from benchmarks.zoo import ZOO, Origin, expand, model, refused

ONE = np.float32(1)
AFTER_ONE = np.nextafter(ONE, np.float32(2))


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        (1.0, 1.0, 0),
        (1.0, AFTER_ONE, 1),
        (-1.0, -AFTER_ONE, 1),
        (0.0, -0.0, 0),
        (1e-45, -1e-45, 2),
        (np.inf, np.finfo(np.float32).max, 1),
        (np.nan, np.nan, 0),
        (np.nan, 1.0, 1 << 32),
        (1.0, 2.0, 1 << 23),
    ],
)
def test_distance_in_units_of_the_last_place(a: float, b: float, apart: int) -> None:
    pair = np.array([a], np.float32), np.array([b], np.float32)
    assert ulps(*pair).tolist() == ulps(*pair[::-1]).tolist() == [apart]


def test_every_difference_of_integers_counts() -> None:
    tally, ours = Tally(), {"t": np.arange(6, dtype=np.int8).reshape(2, 3)}
    tally.compare("net", ours, {"t": ours["t"].reshape(1, 6)})
    assert (tally.tensors, tally.bytes, tally.mismatches, tally.problems) == (1, 6, 0, [])
    tally.compare("net", ours, {"t": ours["t"] + np.int8([[0, 1, 0], [0, 0, 1]])})
    assert (tally.bytes, tally.mismatches) == (12, 2)
    assert tally.problems == ["net: t: 2 of 6 bytes differ"]


def test_floats_may_be_one_unit_apart() -> None:
    tally, ours = Tally(), {"f": np.array([1, 1], np.float32)}
    tally.compare("net", ours, {"f": np.array([1, AFTER_ONE], np.float32)})
    assert (tally.floats, tally.inexact, tally.problems) == (2, 1, [])
    two_off = np.nextafter(AFTER_ONE, np.float32(2))
    tally.compare("net", ours, {"f": np.array([1, two_off], np.float32)})
    assert tally.problems == ["net: f: 1 of 2 are up to 2 ULP off"]


def test_tensors_must_be_on_both_sides_and_of_one_type() -> None:
    tally, zeros = Tally(), np.zeros(4, np.int8)
    tally.compare("net", {"a": zeros}, {"b": zeros})
    assert len(tally.problems) == 2
    tally.compare("net", {"a": zeros}, {"a": zeros[:3]})
    tally.compare("net", {"a": zeros}, {"a": zeros.view(np.uint8)})
    assert len(tally.problems) == 4


@pytest.mark.parametrize(
    ("cosine", "races", "vendor", "problems"),
    [
        (1.0, (), Tally(), 0),
        (0.5, (), Tally(), 1),
        (float("nan"), (), None, 1),
        (1.0, ("a race",), Tally(problems=["other bytes"]), 2),
    ],
)
def test_every_kind_of_problem_is_told(
    cosine: float, races: tuple[str, ...], vendor: Tally | None, problems: int
) -> None:
    assert len(_verification(cosine, races, vendor).problems) == problems


def _verification(
    cosine: float, races: tuple[str, ...] = (), vendor: Tally | None = None
) -> Verification:
    return Verification(
        model=model("digits"),
        chip="cv183x",
        quant="int8",
        batch=4,
        layers=3,
        commands=1234,
        vendor=vendor,
        orders=13,
        reordered=Tally(),
        races=races,
        cosine=cosine,
    )


def test_page_has_a_row_per_program_and_names_what_is_missing(tmp_path: Path) -> None:
    tally = Tally(tensors=9, bytes=54321, floats=10)
    kept, case = KeptFolder(tmp_path), Case("digits", "mixed", "cv182x", 4)
    kept.write(case.key, Row.of(_verification(0.98765, vendor=tally)))
    text = page(kept, {"big": "conv9 (Conv): too big"})
    heading = text.index("## Mixed: every third layer in BF16, cv182x")
    row = "| digits | example | 4 | 3 | 1,234 | 54,321 | 0 | 10 | 0 | 13 | 0 | 0 | 0.9877 |"
    assert row in text[heading:]
    assert "In all 1 programs and 54,321 bytes were compared, 0 differ." in text
    assert "- mixed, cv182x: digits (batch 1), mnist (batch 1)" in text
    assert "- big: conv9 (Conv): too big" in text


def test_every_network_is_verified_in_every_scheme_on_every_chip() -> None:
    found = cases(ZOO)
    assert len(set(found)) == len(found) == 12 * sum(len(entry.batches) for entry in ZOO)


def test_catalogue_names_are_unique_and_interleavings_enough() -> None:
    assert len({entry.name for entry in ZOO}) == len(ZOO)
    assert all(entry.random_orders >= 10 for entry in ZOO)


def test_catalogue_has_every_network_that_the_chip_accepts(shared: Path) -> None:
    assert all(refused().values())


def test_archives_become_onnx_files_with_their_weights(shared: Path, tmp_path: Path) -> None:
    import onnx

    (entry, *_) = (m for m in ZOO if m.origin is Origin.RANDOM and "mobilenet_v1" in m.name)
    made = onnx.load(str(expand(entry.file, tmp_path)))
    onnx.checker.check_model(made)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in made.graph.initializer}
    with np.load(entry.file) as arrays:
        key = next(k for k in arrays.files if k.startswith("q:") and arrays[k].ndim == 4)
        channel = arrays[key][3].astype(np.float32) * arrays[f"s:{key[2:]}"][3]
    np.testing.assert_array_equal(weights[key[2:]][3], channel)
