"""The stages of a conversion, with fakes for everything that plugins bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_chip import NAMES, World

import cvi
from cvi import files
from cvi.compare import Match, Tolerance
from cvi.errors import CviError, InputError, PluginError, UnsupportedError, VerificationError
from cvi.flow.stages import STAGES
from cvi.ir import storage


class Log:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.steps: list[tuple[int, int | None]] = []
        self.notes: list[str] = []

    def stage(self, name: str, title: str) -> None:
        self.stages.append(name)

    def step(self, done: int, total: int | None = None) -> None:
        self.steps.append((done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)


def convert(**options: Any) -> cvi.Conversion:
    given: dict[str, Any] = {"chip": "fakechip", "dataset": "data", "images": ["x.npz"]}
    return cvi.convert("net.fake", "net.cvimodel", **given | options)


@pytest.fixture
def net(world: World, folder: Path) -> World:
    return world


def test_whole_conversion(net: World) -> None:
    log = Log()
    result = convert(progress=log, equalise=True)
    assert Path("net.cvimodel").read_bytes() == b"program"
    assert log.stages == [stage.name for stage in STAGES]
    samples = layers = [(1, 3), (2, 3), (3, 3)]
    assert log.steps == samples + layers
    assert list(result.comparisons) == ["verify-float", "verify-quantised", "verify-machine"]
    assert all(comparison.passed for comparison in result.comparisons.values())
    assert [row.name for row in result.comparisons["verify-quantised"].rows] == list(NAMES)
    assert all(r.similarity.match is Match.EQUAL for r in result.comparisons["verify-machine"].rows)
    assert result.facts == {"memory": "7 bytes"}
    assert (result.path, result.size) == (Path("net.cvimodel"), 7)
    assert result.table is not None and list(result.table) == list(NAMES)
    assert net.scheme.types == ("auto", "fp32")


def test_options_reach_the_frontend(net: World) -> None:
    Path("w").write_bytes(b"")
    convert(batch=1, input_shapes={"x": (1, 3, 4, 4)}, outputs=["t2"], weights="w")
    assert net.frontend.loaded == {
        "weights": Path("w"),
        "batch": 1,
        "input_shapes": {"x": (1, 3, 4, 4)},
        "outputs": ("t2",),
    }


def test_without_images_the_first_sample_verifies(net: World) -> None:
    assert list(convert(images=[]).comparisons) == [
        "verify-float",
        "verify-quantised",
        "verify-machine",
    ]


def test_no_verify_compares_nothing(net: World) -> None:
    net.frontend.wrong = "t1"
    net.simulator.flip = NAMES[1:]
    log = Log()
    result = convert(verify=False, images=[], progress=log)
    assert not result.comparisons
    assert not {"evaluate", "verify-float", "verify-quantised", "verify-machine"} & {*log.stages}
    assert Path("net.cvimodel").exists()


def test_calibration_table_replaces_the_data_set(net: World) -> None:
    table = convert().table
    assert table is not None
    table.write("thresholds")
    again = convert(dataset=None, calibration_table="thresholds").table
    assert again is not None and dict(again.entries) == dict(table.entries)


def nothing_left(folder: Path, before: set[str]) -> bool:
    return {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize("old", [None, b"an older one"])
def test_framework_differs(net: World, folder: Path, old: bytes | None) -> None:
    if old:
        Path("net.cvimodel").write_bytes(old)
    before = {path.name for path in folder.iterdir()}
    net.frontend.wrong = "t1"
    with pytest.raises(VerificationError) as caught:
        convert()
    assert caught.value.where.startswith("verify-float: net.fake, layer first_Abs")
    assert nothing_left(folder, before)
    assert old is None or Path("net.cvimodel").read_bytes() == old


def test_excepted_layer_may_differ(net: World) -> None:
    net.frontend.wrong = "t1"
    result = convert(excepts=["first_Abs"])
    assert result.comparisons["verify-float"].excepted == ("first_Abs",)


def test_misspelt_exception_is_a_warning(net: World) -> None:
    with pytest.warns(UserWarning, match="no compared layer is named frist_Abs"):
        convert(excepts=["frist_Abs", "first_Abs"])


def test_excepted_layer_of_the_machine(net: World) -> None:
    net.simulator.flip = ("first_Abs",)
    result = convert(excepts=["first_Abs"]).comparisons["verify-machine"]
    assert result.excepted == ("first_Abs",)


def test_quantised_graph_differs_in_its_first_bad_layer(net: World, folder: Path) -> None:
    net.scheme.spoil = True
    with pytest.raises(VerificationError) as caught:
        convert()
    assert caught.value.where.startswith("verify-quantised: net.fake, layer first_Abs")
    assert not Path("net.cvimodel").exists()
    convert(quant_tolerance=Tolerance(-1, -1, -10))


def test_machine_differs_by_one_bit(net: World, folder: Path) -> None:
    net.simulator.flip = ("first_Abs", "second_Relu")
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(VerificationError) as caught:
        convert()
    assert caught.value.where == "verify-machine: layer first_Abs"
    assert "1 of 48 elements differ" in caught.value.why
    assert "at (0, 0, 0, 0)" in caught.value.why
    assert nothing_left(folder, before)
    assert not net.simulator.paths[0].exists()


def test_correctness_accepts_similarity(net: World) -> None:
    net.simulator.flip = ("first_Abs",)
    result = convert(correctness=Tolerance(0.99, 0.99, 0.9))
    (row,) = (r for r in result.comparisons["verify-machine"].rows if r.name == "first_Abs")
    assert row.similarity.match is not Match.EQUAL


def test_output_that_the_program_does_not_give(net: World) -> None:
    net.simulator.hidden = ("second_Relu",)
    with pytest.raises(VerificationError, match="does not give"):
        convert()


def test_hidden_intermediate_is_fine(net: World) -> None:
    net.simulator.hidden = ("first_Abs",)
    assert len(convert().comparisons["verify-machine"].rows) == 2


def test_interrupt_while_verifying_leaves_nothing(
    net: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []

    def interrupt(path: Path, *args: Any, **options: Any) -> Any:
        paths.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(net.simulator, "run", interrupt)
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        convert()
    assert nothing_left(folder, before)
    assert not paths[0].exists() and not paths[0].parent.exists()


def test_interrupt_while_writing_leaves_nothing(
    net: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_publish", interrupt)
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        convert()
    assert nothing_left(folder, before)


def test_work_dir_keeps_everything(net: World) -> None:
    convert(work_dir="work/here")
    kept = {path.name for path in Path("work/here").iterdir()}
    stages = ("verify-float", "verify-quantised", "verify-machine")
    tables = {f"net_{s}{e}" for s in stages for e in (".csv", "_target.npz", "_reference.npz")}
    assert tables | {"net_calibration_table", "net_fp32.cvi.json", "net_int8.cvi.json"} <= kept
    quantised = storage.load("work/here/net_int8.cvi.json")
    assert [op.name for op in quantised.ops] == list(NAMES)
    csv = Path("work/here/net_verify-float.csv").read_text().splitlines()
    assert csv[0].startswith("layer,shape,cosine")
    assert csv[2].startswith("first_Abs,1x3x4x4,")
    with np.load("work/here/net_verify-quantised_target.npz") as arrays:
        assert set(arrays) == set(NAMES)


def test_work_dir_tells_why_a_verification_failed(net: World) -> None:
    net.scheme.spoil = True
    with pytest.raises(VerificationError):
        convert(work_dir="work")
    assert "FAILED" in Path("work/net_verify-quantised.csv").read_text()


def test_same_options_same_bytes(net: World) -> None:
    for work in ("one", "two"):
        convert(work_dir=work)
    for path in Path("one").iterdir():
        assert path.read_bytes() == (Path("two") / path.name).read_bytes(), path.name


# -- what is refused, and when ----------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "chip": ({"chip": "fakechp"}, "chip 'fakechp'", "no chip"),
    "quant": ({"quant": "bf16"}, "--quant", "does not support 'bf16'"),
    "data": ({"dataset": None}, "--dataset", "thresholds are found from images"),
    "table": ({"calibration_table": "none"}, "--calibration-table none", "no such file"),
    "image": ({"images": ["none.jpg"]}, "--image none.jpg", "no such file"),
    "inputs": ({"inputs_type": "int4"}, "--inputs-type", "unknown type 'int4'"),
    "outputs": ({"outputs_type": ""}, "--outputs-type", "unknown type ''"),
    "method": ({"method": "magic"}, "--method", "magic"),
    "pixels": ({"images": ["x.jpg"]}, "--preset", "not how the network wants its pixels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_the_model_is_read(net: World, case: str) -> None:
    options, where, why = REFUSED[case]
    Path("x.jpg").write_bytes(b"")
    with pytest.raises((InputError, PluginError)) as caught:
        convert(**options)
    assert caught.value.where == where
    assert why in caught.value.why
    assert caught.value.fix
    assert not net.frontend.loaded


@pytest.mark.parametrize("name", ["net.bmodel", "net", ".cvimodel", "nowhere/net.cvimodel"])
def test_wrong_output_name(net: World, name: str) -> None:
    with pytest.raises(InputError) as caught:
        cvi.convert("net.fake", name, chip="fakechip", dataset="data")
    assert caught.value.where == f"-o {name}"
    assert not net.frontend.loaded


def test_missing_model(net: World) -> None:
    with pytest.raises(InputError, match="no such file"):
        cvi.convert("none.fake", "net.cvimodel", chip="fakechip", dataset="data")


def test_nothing_to_verify_with(net: World) -> None:
    convert(work_dir="work")
    table = "work/net_calibration_table"
    with pytest.raises(InputError, match="nothing to verify") as caught:
        convert(dataset=None, images=[], calibration_table=table)
    assert "--no-verify" in caught.value.fix
    convert(dataset=None, images=[], calibration_table=table, verify=False)


def test_presets_are_listed_when_pixels_are_unknown(net: World) -> None:
    Path("x.jpg").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        convert(images=["x.jpg"])
    assert "imagenet-torch" in caught.value.fix
    assert "--preset none" in caught.value.fix


def test_all_unsupported_layers_are_named_before_calibration(net: World) -> None:
    net.scheme.refused = ["first_Abs: no", "second_Relu: neither"]
    log = Log()
    with pytest.raises(UnsupportedError) as caught:
        convert(progress=log)
    assert caught.value.problems == ("first_Abs: no", "second_Relu: neither")
    assert "2 layers" in caught.value.why
    assert log.stages == ["load", "simplify"]


def test_chip_refuses_the_quantised_graph(net: World) -> None:
    net.chip.refused = ["first_Abs: too large"]
    with pytest.raises(UnsupportedError) as caught:
        convert()
    assert caught.value.where.startswith("quantise:")


# -- in steps ----------------------------------------------------------------


def test_three_commands_give_what_one_gives(net: World) -> None:
    whole = convert()
    graph = cvi.transform("net.fake", "net.cvi.json", images=["x.npz"])
    assert [op.name for op in graph.ops] == list(NAMES)
    table = cvi.calibrate_model("net.cvi.json", "thresholds", dataset="data")
    assert whole.table is not None and dict(table.entries) == dict(whole.table.entries)
    result = cvi.deploy(
        "net.cvi.json",
        "two.cvimodel",
        chip="fakechip",
        calibration_table="thresholds",
        images=["x.npz"],
    )
    assert [op.type for op in result.quantised.ops] == [op.type for op in whole.quantised.ops]
    assert list(result.comparisons) == ["verify-quantised", "verify-machine"]
    assert Path("two.cvimodel").exists()


def test_reading_options_do_not_apply_to_ir_files(net: World) -> None:
    cvi.transform("net.fake", "net.cvi.json", images=["x.npz"])
    for options in ({"batch": 2}, {"outputs": ["t1"]}, {"input_shapes": {"x": (1, 3, 2, 2)}}):
        with pytest.raises(InputError, match="is an IR file"):
            cvi.load("net.cvi.json", **options)  # type: ignore[arg-type]


def test_preprocessing_options_replace_those_of_an_ir_file(net: World) -> None:
    preset = cvi.ImageOptions(preset="zero-one")
    cvi.transform("net.fake", "net.cvi.json", image_options=preset, images=["x.npz"])
    other = cvi.ImageOptions(preset="tf-minus1-1")
    result = cvi.convert(
        "net.cvi.json", "n.cvimodel", chip="fakechip", dataset="data", image_options=other
    )
    preprocess = result.graph.inputs[0].preprocess
    assert preprocess is not None and preprocess.mean == (127.5,) * 3
    assert list(result.comparisons) == ["verify-quantised", "verify-machine"]


def test_transform_that_fails_writes_nothing(net: World, folder: Path) -> None:
    net.frontend.wrong = "t2"
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(VerificationError):
        cvi.transform("net.fake", "net.cvi.json", images=["x.npz"])
    assert nothing_left(folder, before)


def test_transform_needs_the_suffix_of_ir_files(net: World) -> None:
    with pytest.raises(InputError) as caught:
        cvi.transform("net.fake", "net.mlir", images=["x.npz"])
    assert caught.value.fix == "-o net.cvi.json"


def test_check_and_load(net: World) -> None:
    assert cvi.check("net.fake", chip="fakechip").passed
    net.scheme.refused = ["first_Abs: no"]
    verdict = cvi.check("net.fake", chip="fakechip")
    assert not verdict.passed
    assert (verdict.layers, verdict.problems) == (2, ("first_Abs: no",))
    with pytest.raises(CviError):
        cvi.check("net.fake", chip="fakechip", quant="bf16")


def test_run_of_a_quantised_ir_file_quantises_real_inputs(net: World) -> None:
    result = convert(work_dir="work")
    values = cvi.run("work/net_int8.cvi.json", ["x.npz"], all_tensors=True)
    assert {name: array.dtype for name, array in values.items()} == dict.fromkeys(NAMES, np.int8)
    scale = result.quantised["x"].type.scale
    with np.load("x.npz") as arrays:
        real = arrays["x"]
    assert scale is not None
    clipped = np.clip(real, -128 * scale, 127 * scale)
    assert np.abs(values["x"] * scale - clipped).max() <= scale * 0.5001
    np.savez("stored.npz", x=values["x"])
    again = cvi.run("work/net_int8.cvi.json", ["stored.npz"])
    np.testing.assert_array_equal(again["second_Relu"], values["second_Relu"])
