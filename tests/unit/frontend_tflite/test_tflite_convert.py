"""Conversions of integer models: own thresholds, calibration, inspection, files between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_tflite_import import classifier
from test_tflite_integers import network

import cvi
from cvi.errors import InputError
from tflite_models import Net, Scales, random

pytest.importorskip("ai_edge_litert")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`integers.tflite`, `floats.tflite`, and an input for each."""
    integers, floats = Net(), Net()
    integers.save(tmp_path / "integers.tflite", network(integers, unsigned=True))
    floats.save(tmp_path / "floats.tflite", classifier(floats))
    np.savez(tmp_path / "x.npz", x=random(1, 3, 8, 8))
    np.savez(tmp_path / "image.npz", image=random(1, 3, 4, 4))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_own_thresholds_need_no_data_set(folder: Path) -> None:
    result = cvi.convert("integers.tflite", "i.cvimodel", chip="cv183x", images=["x.npz"])
    assert result.table is not None
    assert result.table.threshold("t0_CONV_2D") == pytest.approx(255 * 0.03)
    assert all(c.passed for c in result.comparisons.values())
    least = result.comparisons["verify-float"].worst
    assert least[0] >= 0.9999 and least[2] >= 0.98


def test_recalibrated_on_samples(folder: Path) -> None:
    asked = {"chip": "cv183x", "images": ["x.npz"], "dataset": "x.npz"}
    for options in ({}, {"own_thresholds": "recalibrate"}):
        result = cvi.convert("integers.tflite", "i.cvimodel", **asked, **options)  # type: ignore[arg-type]
        assert result.table is not None and result.table.samples == 1
    kept = cvi.convert("integers.tflite", "i.cvimodel", **asked, own_thresholds="keep")  # type: ignore[arg-type]
    assert kept.table is not None and kept.table.samples is None


def test_thresholds_go_through_the_files_between(folder: Path) -> None:
    cvi.transform("integers.tflite", "i.cvi.json", images=["x.npz"])
    table = cvi.calibrate_model("i.cvi.json", "i.table")
    assert table.threshold("x") == pytest.approx(128 * 2 / 255, rel=1e-6)
    cvi.deploy("i.cvi.json", "a.cvimodel", chip="cv183x", images=["x.npz"])
    cvi.deploy(
        "i.cvi.json", "b.cvimodel", chip="cv183x", images=["x.npz"], calibration_table="i.table"
    )
    cvi.convert("integers.tflite", "c.cvimodel", chip="cv183x", images=["x.npz"])
    programs = {Path(f"{name}.cvimodel").read_bytes() for name in "abc"}
    assert len(programs) == 1


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        ("floats", {}, "there are none"),
        ("floats", {"own_thresholds": "keep", "dataset": "image.npz"}, "brings no thresholds"),
        ("floats", {"own_thresholds": "recalibrate", "dataset": "image.npz"}, "brings no thresh"),
        ("integers", {"own_thresholds": "recalibrate"}, "there are none"),
        ("integers", {"own_thresholds": "maybe"}, "unknown 'maybe'"),
    ],
)
def test_thresholds_that_are_not_there(
    folder: Path, model: str, options: dict[str, str], why: str
) -> None:
    with pytest.raises(InputError, match=why) as caught:
        cvi.convert(f"{model}.tflite", "m.cvimodel", chip="cv183x", verify=False, **options)  # type: ignore[arg-type]
    assert caught.value.fix
    assert not Path("m.cvimodel").exists()


def test_table_and_own_thresholds_exclude_each_other(folder: Path) -> None:
    Path("t.table").write_text("x 1.0\n")
    with pytest.raises(InputError, match="exclude each other"):
        cvi.convert(
            "integers.tflite", "m.cvimodel", chip="cv183x", calibration_table="t.table",
            own_thresholds="keep", verify=False,
        )  # fmt: skip


def test_ir_file_without_thresholds_needs_a_table(folder: Path) -> None:
    cvi.transform("floats.tflite", "f.cvi.json", images=["image.npz"])
    with pytest.raises(InputError, match="there are none"):
        cvi.deploy("f.cvi.json", "f.cvimodel", chip="cv183x", verify=False)
    with pytest.raises(InputError, match="there are none"):
        cvi.calibrate_model("f.cvi.json", "f.table")


@pytest.mark.parametrize(
    ("channels", "scales", "found"),
    [
        (3, Scales([1 / 128], [0]), "--preset tf-minus1-1, exactly --mean 128 --std 128"),
        (3, Scales([1 / 255], [-128]), "--preset zero-one, exactly --mean 0 --std 255"),
        (3, Scales([1.0], [-128]), "--preset zero-255, exactly --mean 0 --std 1 "),
        (3, Scales([0.02], [-14]), "--mean 114 --std 50 --channel-order rgb"),
        (1, Scales([1 / 128], [0]), "--mean 128 --std 128 --gray"),
    ],
)
def test_inspect_guesses_from_the_scale_of_the_input(
    tmp_path: Path, channels: int, scales: Scales, found: str
) -> None:
    net = Net()
    x = net.input(1, 8, 8, channels, type="INT8", scales=scales)
    path = net.save(tmp_path / "n.tflite", net.op("RELU", x, type="INT8", scales=scales))
    guessed = cvi.inspect(path).preprocessing["x"]
    assert guessed.startswith(found)
    assert "the model's integers stand for" in guessed
