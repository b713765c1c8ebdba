"""Whole networks for every later chip: our bytes are the vendor's simulator's, and what a chip
cannot do is refused before the work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.verify import Tally, on_vendor, verify
from benchmarks.zoo import LOOSE, ZooModel, model

import cvi
from chips import LATER
from cvi.errors import UnsupportedError
from cvi.preprocess.dataset import samples
from cvi_tpu.chip import ChipSpec
from cvi_tpu.model import SectionKind, read_file
from cvi_tpu.runtime import Runtime
from vendor_here import VENDOR, needs_vendor

NETWORKS = ["digits", "mobilenet_v1_0.25_128", "resnet20_cifar10"]

DIGITS = model("digits")

BEFORE_SOFTMAX = {"digits": "/0/0.10/Gemm_output_0", "mobilenet_v1_0.25_128": "t88_f"}
"""What softmax reads, in the networks that end with one."""


WHOLE = [
    (spec, name)
    for spec in LATER
    for name in NETWORKS
    if spec.has_cpu_functions or name not in BEFORE_SOFTMAX
]


@pytest.mark.parametrize(("spec", "name"), WHOLE, ids=lambda p: getattr(p, "name", p))
def test_network_is_computed_to_the_byte(spec: ChipSpec, name: str, tmp_path: Path) -> None:
    network = replace(model(name), random_orders=2)
    if not network.present:
        pytest.skip(f"{network.file} is not here")
    found = verify(network, tmp_path, chip=spec.name, vendor=VENDOR)
    assert not found.problems, "\n".join(found.problems)
    assert found.reordered.bytes > 0
    if VENDOR:
        assert found.vendor is not None and found.vendor.bytes > 0


def convert_part(network: ZooModel, folder: Path, chip: str, **options: str) -> cvi.Conversion:
    """The network up to its softmax, every tensor readable."""
    return cvi.convert(
        network.file,
        folder / "part.cvimodel",
        chip=chip,
        image_options=network.pixels,
        images=(network.image,),
        dataset=network.dataset,
        input_num=2,
        outputs=(BEFORE_SOFTMAX[network.name],),
        keep_tensors=True,
        quant_tolerance=LOOSE,
        **options,
    )


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize("name", BEFORE_SOFTMAX)
def test_part_before_softmax_is_computed_to_the_byte(name: str, tmp_path: Path) -> None:
    network = model(name)
    if not network.present:
        pytest.skip(f"{network.file} is not here")
    conversion = convert_part(network, tmp_path, "cv180x")
    image = next(samples(conversion.graph, [(network.image,)]))
    tally = Tally()
    ours = Runtime(read_file(conversion.path)).run(image, all_tensors=True)
    tally.compare(name, ours, on_vendor(conversion.path, image))
    assert not tally.problems and tally.bytes > 0 and tally.inexact == 0


def test_softmax_is_refused_by_name_where_nothing_computes_it(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        cvi.convert(
            DIGITS.file,
            tmp_path / "digits.cvimodel",
            chip="cv180x",
            image_options=DIGITS.pixels,
            images=(DIGITS.image,),
            dataset=DIGITS.dataset,
        )
    (problem,) = caught.value.problems
    assert problem.startswith("probabilities_Softmax (Softmax): the chip's runtime has no CPU")
    assert problem.endswith("use --quant mixed, which computes the layer in BF16")
    assert not (tmp_path / "digits.cvimodel").exists()


@pytest.mark.parametrize("chip", ["cv180x", "cv181x"])
def test_outputs_are_floats(chip: str, tmp_path: Path) -> None:
    """Where the runtime has no CPU functions the TPU casts them."""
    (program,) = read_file(convert_part(DIGITS, tmp_path, chip).path).programs
    assert [program.tensor(name).element.name for name in program.outputs] == ["FP32"]
    on_cpu = [routine for routine in program.routines if routine.cpu]
    assert bool(on_cpu) == (chip != "cv180x")


def test_inputs_may_be_floats_where_only_the_tpu_casts(tmp_path: Path) -> None:
    conversion = convert_part(DIGITS, tmp_path, "cv180x", inputs_type="fp32")
    (program,) = read_file(conversion.path).programs
    assert [program.tensor(name).element.name for name in program.inputs] == ["FP32"]
    assert all(routine.cpu is None for routine in program.routines)


@pytest.mark.parametrize("spec", LATER, ids=lambda spec: spec.name)
def test_files_name_their_chip(spec: ChipSpec, tmp_path: Path) -> None:
    file = read_file(convert_part(DIGITS, tmp_path, spec.name).path)
    assert file.chip == file.target == spec.name
    (section,) = [s for s in file.sections if s.kind is SectionKind.CMDBUF]
    assert section.data[0] == spec.cmdbuf_magic
