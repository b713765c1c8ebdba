"""Networks in BF16 and in mixed precision: our bytes are the vendor's simulator's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.verify import Tally, on_vendor
from benchmarks.zoo import LOOSE, model

import cvi
from chips import CHIPS, each_chip
from cvi.cli import main
from cvi.compare import compare_tensors
from cvi.errors import InputError
from cvi.execute import evaluate
from cvi.ir import Array
from cvi.preprocess.dataset import samples
from cvi_tpu.chip import ChipSpec
from cvi_tpu.model import read_file
from cvi_tpu.runtime import Runtime
from vendor_here import VENDOR

DIGITS = model("digits")
TABLE = "# the second block\n/0/0.5/Relu_output_0_Relu\n/0/0.6/0.6.2/Relu_output_0_Relu BF16\n"


def convert(folder: Path, chip: str, quant: str, batch: int, **options: object) -> cvi.Conversion:
    (folder / "mix.txt").write_text(TABLE)
    mixed = {"mix_precision_table": folder / "mix.txt", "dataset": DIGITS.dataset, "input_num": 2}
    return cvi.convert(
        DIGITS.file,
        folder / "digits.cvimodel",
        chip=chip,
        quant=quant,
        batch=batch,
        image_options=DIGITS.pixels,
        images=(DIGITS.image,),
        keep_tensors=True,
        quant_tolerance=LOOSE,
        **(mixed if quant == "mixed" else {}),
        **options,
    )


def inputs_of(conversion: cvi.Conversion) -> dict[str, Array]:
    return next(samples(conversion.graph, [(DIGITS.image,)]))


@each_chip
@pytest.mark.parametrize(("quant", "batch"), [("bf16", 1), ("bf16", 4), ("mixed", 1), ("mixed", 4)])
def test_every_tensor_is_the_vendors(
    spec: ChipSpec, quant: str, batch: int, tmp_path: Path
) -> None:
    conversion = convert(tmp_path, spec.name, quant, batch)
    image = inputs_of(conversion)
    program = read_file(conversion.path)
    ours = Runtime(program).run(image, all_tensors=True)
    kinds = {op.type.dtype.value for op in conversion.quantised.ops}
    assert kinds >= ({"bf16", "fp32"} if quant == "bf16" else {"bf16", "int8", "fp32"})
    on_cpu = [routine for routine in program.programs[0].routines if routine.cpu]
    assert bool(on_cpu) == (quant == "mixed" and spec.has_cpu_functions)
    if VENDOR:
        tally = Tally()
        tally.compare("digits", ours, on_vendor(conversion.path, image))
        assert not tally.problems and tally.bytes > 0


def test_bf16_is_nearer_to_float_than_int8(tmp_path: Path) -> None:
    conversion = convert(tmp_path, "cv183x", "bf16", 1)
    assert conversion.table is None
    want = evaluate(conversion.graph, inputs_of(conversion))
    got = Runtime(read_file(conversion.path)).run(inputs_of(conversion))
    for (name, array), result in zip(want.items(), got.values(), strict=True):
        assert compare_tensors(result, array).cosine > 0.9998, name


@pytest.mark.parametrize("spec", [CHIPS[0], CHIPS[-1]], ids=lambda s: s.name)
def test_floats_go_in_and_come_out_on_every_chip(spec: ChipSpec, tmp_path: Path) -> None:
    conversion = convert(tmp_path, spec.name, "bf16", 1, inputs_type="fp32", outputs_type="fp32")
    (program,) = read_file(conversion.path).programs
    types = [program.tensor(name).element.name for name in (*program.inputs, *program.outputs)]
    assert types == ["FP32", "FP32"]
    assert all(routine.cpu is None for routine in program.routines)
    image = inputs_of(conversion)
    (ours,) = Runtime(read_file(conversion.path)).run(image).values()
    if VENDOR:
        assert np.array_equal(ours, on_vendor(conversion.path, image)[program.outputs[0]])


def test_unknown_layers_in_a_table_are_refused_with_near_names(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("/0/0.5/Relu_output_0_Rely\n")
    with pytest.raises(InputError, match=r"no layer '/0/0[.]5/Relu_output_0_Rely'") as caught:
        cvi.convert(
            DIGITS.file,
            tmp_path / "x.cvimodel",
            chip="cv183x",
            quant="mixed",
            mix_precision_table=table,
            image_options=DIGITS.pixels,
            dataset=DIGITS.dataset,
        )
    assert "/0/0.5/Relu_output_0_Relu" in (caught.value.fix or "")
    assert not (tmp_path / "x.cvimodel").exists()


@pytest.mark.parametrize("option", [["--all_bf16"], ["--quantize", "BF16"], ["--quant", "bf16"]])
def test_the_guides_options_need_no_images_of_calibration(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--chip", "cv182x", "--gray", "--raw_scale", "1", "--image", str(DIGITS.image)]
    target = str(tmp_path / "d.cvimodel")
    assert main(["convert", str(DIGITS.file), "-o", target, *words, *option]) == 0
    assert "verify-machine" in capsys.readouterr().out
