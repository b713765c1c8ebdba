"""Broken and hostile files: one clear error, quickly, or success; never anything else."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from test_tflite_import import classifier
from test_tflite_integers import network

from cvi.errors import CviError, InputError, ModelError, PluginError
from cvi_frontend_tflite.frontend import TfliteFrontend
from mutants import ANY_FORMAT, flipped, words_changed
from tflite_models import Net

FRONTEND = TfliteFrontend()

CONTENTS = {
    "html": (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "LFS"),
    "empty": (b"", "empty"),
    "zip": (b"PK\x03\x04rest", "zip"),
    "gzip": (b"\x1f\x8brest", "gzip"),
    "text": (b"hello, I am not a model", "TFL3"),
    "zeros": (bytes(1000), "TFL3"),
    "only the identifier": (b"\x10\0\0\0TFL3", "damaged"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_other_files_are_called_by_their_name(tmp_path: Path, name: str) -> None:
    content, why = CONTENTS[name]
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    assert FRONTEND.accepts(path)
    with pytest.raises(ModelError, match=why) as caught:
        FRONTEND.load(path)
    assert str(path) in caught.value.where and caught.value.fix


def test_recognised_by_content(tmp_path: Path) -> None:
    net = Net()
    path = net.save(tmp_path / "model.bin", classifier(net))
    assert FRONTEND.accepts(path)
    (tmp_path / "other.bin").write_bytes(b"\x08\x08rest")
    assert not FRONTEND.accepts(tmp_path / "other.bin")
    assert not FRONTEND.accepts(tmp_path / "missing.tflite")
    assert not FRONTEND.accepts(tmp_path)


def test_tensorflow_formats_are_recognised(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"\x08\x01")
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\nrest")
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04rest")
    (tmp_path / "m.pb").write_bytes(b"\x0a\x02ab\x22\x00")
    (tmp_path / "loose.pb").write_bytes(b"\x08\x01\x12\x00")
    for name, known in (
        ("saved", True), ("saved/saved_model.pb", True), ("m.h5", True), ("m.keras", True),
        ("m.pb", True), ("loose.pb", False),
    ):  # fmt: skip
        assert FRONTEND.accepts(tmp_path / name) is known, name


def test_tensorflow_formats_without_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\nrest")
    with pytest.raises(PluginError, match="not installed") as caught:
        FRONTEND.load(tmp_path / "m.h5")
    assert "cvi-frontend-tflite[tensorflow]" in caught.value.fix


def test_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no separate weight file"):
        FRONTEND.load(tmp_path / "m.tflite", weights=tmp_path / "w")


def originals() -> list[bytes]:
    small, integers = Net(), Net()
    return [
        small.done(classifier(small)),
        integers.done(network(integers, unsigned=False)),
    ]


def test_mutants_load_or_give_one_error(tmp_path: Path) -> None:
    """Changed bits, bytes and words, cut and doubled parts."""
    outcomes = {"loaded": 0, "refused": 0}
    sound, path = originals(), tmp_path / "m.tflite"
    for seed in range(500):
        rng = random.Random(seed)
        mutate = rng.choice([*ANY_FORMAT, *[flipped] * 4, *[words_changed] * 4])
        path.write_bytes(mutate(sound[seed % 2], rng))
        started = time.process_time()
        try:
            FRONTEND.brings_thresholds(path)
            FRONTEND.load(path)
            outcomes["loaded"] += 1
        except CviError as error:
            assert error.where and error.why, seed
            outcomes["refused"] += 1
        assert time.process_time() - started < 5, seed
    assert min(outcomes.values()) >= 40, outcomes


def test_damaged_model_kills_only_the_interpreters_process(tmp_path: Path) -> None:
    """Whatever a mutant that loads does to TensorFlow Lite, it ends with one error."""
    pytest.importorskip("ai_edge_litert")
    from test_tflite_integers import random as values

    path = tmp_path / "m.tflite"
    done = 0
    for seed in range(40):
        rng = random.Random(seed)
        path.write_bytes(words_changed(originals()[0], rng))
        try:
            graph = FRONTEND.load(path)
            FRONTEND.reference(path, {op.source: values(*op.type.shape) for op in graph.inputs})
            done += 1
        except CviError as error:
            assert error.why
        if done == 3:
            break
    assert done == 3
