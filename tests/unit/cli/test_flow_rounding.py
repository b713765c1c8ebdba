"""The option --rounding: what it makes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_chip import World

import cvi
from cvi.calibrate.calibrate import calibrate
from cvi.cli import main
from cvi.errors import InputError
from cvi.ir import Graph, Input, TensorType, storage
from cvi.ops import Conv2d, FullyConnected, Reshape

_SHAPE = (1, 3, 8, 8)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory with `m.cvi.json`, its `table` and a folder `data` of tensors."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(5)
    graph = Graph("m")
    graph.add(Input(name="x", type=TensorType(_SHAPE)))
    graph.constants = {
        "w": random.standard_normal((8, 3, 3, 3)).astype("f4"),
        "v": random.standard_normal((5, 288)).astype("f4"),
    }
    graph.constants["v"] *= np.repeat(2.0 ** np.arange(8), 36).astype("f4")  # uneven channels
    graph.add(Conv2d(name="c", inputs=("x", "w", ""), relu=True))
    graph.add(Reshape(name="flat", inputs=("c",), shape=(1, 288)))
    graph.add(FullyConnected(name="y", inputs=("flat", "v", "")))
    graph.outputs = ("y",)
    storage.save(graph, Path("m.cvi.json"))
    samples = [{"x": random.random(_SHAPE).astype("f4")} for _ in range(4)]
    Path("data").mkdir()
    for i, sample in enumerate(samples):
        np.savez(f"data/{i}.npz", **sample)  # type: ignore[arg-type]
    calibrate(graph, samples).write("table")
    return tmp_path


def _deploy(name: str, **options: Any) -> bytes:
    given: dict[str, Any] = {"chip": "cv183x", "calibration_table": "table", "dataset": "data"}
    result = cvi.deploy("m.cvi.json", f"{name}.cvimodel", **given | options)
    assert list(result.comparisons) == ["verify-quantised", "verify-machine"]
    return Path(f"{name}.cvimodel").read_bytes()


def test_learned_programs_are_verified_and_always_the_same(here: Path) -> None:
    learned = _deploy("learned", rounding="learned")
    assert learned == _deploy("again", rounding="learned")
    assert learned != _deploy("nearest", rounding="nearest")
    assert len(learned) == len(Path("nearest.cvimodel").read_bytes())


def test_images_alone_give_thresholds_and_rounding(here: Path) -> None:
    assert _deploy("a", calibration_table=None, rounding="learned") != _deploy("b", input_num=1)


@pytest.mark.parametrize("quant", ["int8", "bf16"])
def test_weights_learn_where_there_are_images(here: Path, quant: str) -> None:
    nearest = _deploy("nearest", rounding="nearest", quant=quant)
    learned = _deploy("learned", quant=quant)
    assert nearest != learned == _deploy("again", rounding="learned", quant=quant)
    assert nearest == _deploy("none", dataset=None, images=["data/0.npz"], quant=quant)


def test_channels_are_equalised_where_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["convert", "m.cvi.json", "--chip", "cv183x", "--dataset", "data"]
    assert main([*words, "-o", "plain.cvimodel"]) == 0
    assert main([*words, "-o", "even.cvimodel", "--equalize", "--work-dir", "w"]) == 0
    assert "equalise: the channels of 1 tensors were equalised" in capsys.readouterr().err
    assert Path("plain.cvimodel").read_bytes() != Path("even.cvimodel").read_bytes()
    words = ["transform", "m.cvi.json", "-o", "even.cvi.json", "--equalize", "--no-verify"]
    assert main(words) == 0
    made, kept = (storage.load(Path(name)) for name in ("even.cvi.json", "w/m_fp32.cvi.json"))
    assert made.constants.keys() == kept.constants.keys()
    assert all(np.array_equal(made.constants[n], array) for n, array in kept.constants.items())


def test_the_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["deploy", "m.cvi.json", "-o", "m.cvimodel", "--chip", "cv183x", "--dataset", "data"]
    words += ["--calibration-table", "table", "--rounding", "LEARNED", "--input-num", "3"]
    assert main([*words, "--work-dir", "w"]) == 0
    assert "quantise: rounding of 2 filters learned from 3 samples" in capsys.readouterr().err
    kept = storage.load(Path("w/m_int8.cvi.json"))
    _deploy("n", work_dir="n", rounding="nearest")
    nearest = storage.load(Path("n/m_int8.cvi.json"))
    assert not np.array_equal(kept.constants["c_weight"], nearest.constants["c_weight"])


@pytest.mark.parametrize(
    ("options", "why", "fix"),
    [
        ({"rounding": "up"}, "unknown rounding", "auto, nearest, learned"),
        ({"rounding": "learned", "dataset": None}, "there are none", "--dataset FOLDER"),
    ],
)
def test_what_cannot_be_learned_is_refused_at_once(
    here: Path, options: dict[str, Any], why: str, fix: str
) -> None:
    with pytest.raises(InputError) as error:
        _deploy("no", images=["data/0.npz"], **options)
    assert why in error.value.why
    assert error.value.where == f"--rounding {options['rounding']}"
    assert error.value.fix is not None and fix in error.value.fix
    assert not Path("no.cvimodel").exists()


def test_a_scheme_of_a_third_party_may_not_learn(world: World, folder: Path) -> None:
    with pytest.raises(InputError, match="--quant int8 has no weights"):
        cvi.convert("net.fake", "net.cvimodel", chip="fakechip", dataset="data", rounding="learned")
