"""The commands as a user types them, with fakes behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_chip import World

from cvi import plugins
from cvi.cli import main
from cvi.hookspecs import hookimpl
from cvi.ir import storage

Capture = pytest.CaptureFixture[str]
CONVERT = ["convert", "net.fake", "-o", "net.cvimodel", "--chip", "fakechip", "--dataset", "data"]


def test_convert_prints_a_summary(world: World, folder: Path, capsys: Capture) -> None:
    assert main([*CONVERT, "--quant", "INT8", "--image", "x.npz"]) == 0
    captured = capsys.readouterr()
    out = {line[:17].strip(): line[17:].strip() for line in captured.out.splitlines()}
    assert out["written"] == "net.cvimodel (0.0 KiB)"
    assert out["layers"] == "3 float, 3 quantised"
    assert out["memory"] == "7 bytes"
    assert out["verify-machine"].startswith("3 layers, worst cos, cor, euc: 1.0000")
    assert "calibrate: 3 of 3" in captured.err


def test_no_verify_is_said(world: World, folder: Path, capsys: Capture) -> None:
    assert main([*CONVERT, "--no_verify"]) == 0
    assert "verified  no, as asked by --no-verify" in capsys.readouterr().out


def test_every_option_of_convert_arrives(world: World, folder: Path) -> None:
    code = main(
        [
            *CONVERT, "--batch_size", "1", "--input_shape", "x=1,3,4,4", "--outputs", "t1,t2",
            "--outputs", "t3", "--model-type", "fakeframe", "--mean", "1,2,3", "--std", "2",
            "--raw_scale", "1", "--input_scale", "0.5", "--model_channel_order", "RGB",
            "--image_resize_dims", "8,8", "--keep_aspect_ratio", "true", "--net_input_dims", "4,4",
            "--crop-method", "right", "--inputs-type", "FP32", "--outputs-type", "INT8",
            "--correctness", "0.9,0.9,0.9", "--work-dir", "w", "--input_num", "2",
            "--quant-tolerance=-1,-1,-9",
        ]
    )  # fmt: skip
    assert code == 0
    assert world.frontend.loaded == {
        "weights": None,
        "batch": 1,
        "input_shapes": {"x": (1, 3, 4, 4)},
        "outputs": ("t1", "t2", "t3"),
    }
    assert world.scheme.types == ("fp32", "int8")
    assert world.chip.graph is not None
    preprocess = world.chip.graph.inputs[0].preprocess
    assert preprocess is not None
    assert (preprocess.mean, preprocess.std) == ((1.0, 2.0, 3.0), (2.0, 2.0, 2.0))
    assert (preprocess.raw_scale, preprocess.input_scale) == (1.0, 0.5)
    assert (preprocess.channel_order, preprocess.crop) == ("rgb", "right")
    assert (preprocess.resize_dims, preprocess.keep_aspect_ratio) == ((8, 8), True)
    assert "# sample number: 2" in Path("w/net_calibration_table").read_text()


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["--mean", "a"], "--mean"),
        (["--net-input-dims", "4"], "--net-input-dims"),
        (["--tolerance", "1"], "--tolerance"),
        (["--tolerance", "2,1,1"], "--tolerance"),
        (["--quant-tolerance", "x,1,1"], "--quant-tolerance"),
        (["--correctness", "1,1"], "--correctness"),
        (["--input-shape", "4,4"], "--input-shape"),
        (["--preset", "imagenet"], "--preset"),
        (["--input-num", "-1"], "cvi convert"),
        (["--method", "magic"], "--method"),
    ],
)
def test_wrong_option_is_named(
    world: World, folder: Path, capsys: Capture, words: list[str], where: str
) -> None:
    assert main([*CONVERT, *words]) == 2
    err = capsys.readouterr().err
    assert where in err.split("error: ")[1].splitlines()[0]
    assert "  fix: " in err
    assert not Path("net.cvimodel").exists()


def test_failed_comparison_says_where_to_look(world: World, folder: Path, capsys: Capture) -> None:
    world.scheme.spoil = True
    assert main([*CONVERT, "--work-dir", "work"]) == 3
    err = capsys.readouterr().err
    assert "layer first_Abs" in err
    assert "net_verify-quantised.csv lists all layers" in err
    assert "--quant-tolerance" in err


def test_check(world: World, folder: Path, capsys: Capture) -> None:
    assert main(["check", "net.fake", "--chip", "fakechip"]) == 0
    assert capsys.readouterr().out == "net.fake: all 2 layers on fakechip in int8\n"
    world.scheme.refused = ["first_Abs (Abs): too negative"]
    assert main(["check", "net.fake", "--chip", "fakechip"]) == 1
    assert "  - first_Abs (Abs): too negative" in capsys.readouterr().out


def test_check_says_where_the_network_could_end(
    world: World, folder: Path, capsys: Capture
) -> None:
    world.scheme.refused = ["second_Relu (Relu): too positive"]
    assert main(["check", "net.fake", "--chip", "fakechip"]) == 1
    assert "rest on the host: --outputs t1\n" in capsys.readouterr().out
    assert main([*CONVERT, "--no-verify"]) == 1
    assert "--outputs t1\n" in capsys.readouterr().err


def test_outputs_auto_ends_the_network_there_and_keeps_the_rest(
    world: World, folder: Path, capsys: Capture
) -> None:
    world.scheme.refused = ["second_Relu (Relu): too positive"]
    assert main([*CONVERT, "--outputs", "auto", "--image", "x.npz"]) == 0
    err = capsys.readouterr().err
    assert "the network ends at t1" in err
    assert "net_tail.cvi.json: the network behind t1, for the host" in err
    rest = storage.load("net_tail.cvi.json")
    assert [(op.name, op.kind) for op in rest] == [("first_Abs", "Input"), ("second_Relu", "Relu")]
    assert rest.outputs == ("second_Relu",)


def test_outputs_auto_without_any_end_is_the_error_itself(
    world: World, folder: Path, capsys: Capture
) -> None:
    world.scheme.refused = ["first_Abs (Abs): too negative"]
    assert main([*CONVERT, "--outputs", "auto", "--no-verify"]) == 1
    assert "first_Abs (Abs): too negative" in capsys.readouterr().err
    assert not list(folder.glob("*tail*"))


def test_inspect(world: World, folder: Path, capsys: Capture) -> None:
    assert main(["inspect", "net.fake"]) == 0
    out = capsys.readouterr().out
    assert "input          x  fp32[1x3x4x4]" in out
    assert "    1 Abs" in out
    assert "first_Abs" not in out
    assert main(["inspect", "net.fake", "--layers"]) == 0
    assert "first_Abs    Abs   fp32[1x3x4x4]" in capsys.readouterr().out


def test_chips(world: World, capsys: Capture) -> None:
    assert main(["chips"]) == 0
    assert "fakechip  int8        not a chip" in capsys.readouterr().out


def test_no_chips(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    manager = plugins.PluginManager()
    monkeypatch.setattr(plugins, "manager", lambda: manager)
    assert main(["chips"]) == 1
    assert "pip install cvi-chip-cv183x" in capsys.readouterr().out


def test_plugins(world: World, capsys: Capture) -> None:
    class Broken:
        @hookimpl
        def cvi_register_runners(self) -> list[object]:
            raise RuntimeError("no library")

    plugins.manager().register(Broken(), name="sick")
    assert main(["plugins"]) == 0
    captured = capsys.readouterr()
    assert "chip fakechip" in captured.out
    assert "sick is broken: RuntimeError: no library" in captured.out
    assert captured.err.count("no library") == 1


def test_compare(folder: Path, capsys: Capture) -> None:
    np.savez("a.npz", one=np.arange(4.0), two=np.ones(3))
    np.savez("b.npz", one=np.arange(4.0), two=np.array([1.0, -1, 1]))
    assert main(["compare", "a.npz", "a.npz"]) == 0
    assert main(["compare", "a.npz", "b.npz", "--save", "t.csv"]) == 3
    captured = capsys.readouterr()
    assert "FAILED" in captured.out
    assert "layer two" in captured.err
    assert len(Path("t.csv").read_text().splitlines()) == 3
    assert main(["compare", "a.npz", "b.npz", "--excepts", "two,three"]) == 0
    assert "three" in capsys.readouterr().err
    assert main(["compare", "a.npz", "missing.npz"]) == 2


def test_run(world: World, folder: Path, capsys: Capture) -> None:
    assert main([*CONVERT, "--work-dir", "work"]) == 0
    run = ["run", "net.cvimodel", "--input", "x.npz", "--all-tensors"]
    assert main([*run, "-o", "y.png"]) == 2
    np.savez("stored.npz", x=np.zeros((1, 3, 4, 4), np.int8))
    capsys.readouterr()
    assert main(["run", "net.cvimodel", "--input", "stored.npz", "-o", "y.npz"]) == 0
    assert "second_Relu  int8  1x3x4x4  0    0" in capsys.readouterr().out
    with np.load("y.npz") as arrays:
        assert set(arrays) == {"second_Relu"}
    assert main(["run", "net.cvimodel", "--input", "x.jpg"]) == 2
    assert "--graph" in capsys.readouterr().err
    assert main(["run", "nowhere.cvimodel", "--input", "x.npz"]) == 2
    assert main(["run", "net.cvimodel", "--input", "x.npz", "--runner", "vendr"]) == 1
    assert "did you mean vendor" in capsys.readouterr().err


def test_run_writes_the_same_bytes_each_time(world: World, folder: Path) -> None:
    assert main(["transform", "net.fake", "-o", "n.cvi.json", "--image", "x.npz"]) == 0
    for name in ("one.npz", "two.npz"):
        assert main(["run", "n.cvi.json", "--input", "x.npz", "-o", name]) == 0
    assert Path("one.npz").read_bytes() == Path("two.npz").read_bytes()
