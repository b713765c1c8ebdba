"""Small program files for the tests."""

from __future__ import annotations

from dataclasses import replace

from cvi_tpu.model import (
    CpuRoutine,
    CviModelFile,
    Element,
    Program,
    QuantInfo,
    Routine,
    RoutineKind,
    Section,
    SectionKind,
    Tensor,
    TpuRoutine,
    Weight,
    encode_arguments,
    gmem,
)


def sample() -> CviModelFile:
    """A file that uses every table; its commands mean nothing."""
    tensors = (
        Tensor(
            name="in",
            offset=gmem(3, 0),
            element=Element.INT8,
            shape=(1, 3, 4, 4),
            quant=QuantInfo(qscale=100.5),
            scale=(1.0, 2.0, 3.0),
            mean=(0.5, 0.0, -0.5),
            pixel_format="RGB_PLANAR",
            aligned=True,
            size=4096,
        ),
        Tensor(name="größe", offset=64, shape=(1, 3, 4, 4), stride=(48, 16, 4, 1), overwrote=True),
        Tensor(name="out", offset=-1, shape=(1, 3, 4, 4), tensor_id=7),
    )
    routines = (
        Routine(inputs=("in",), outputs=("größe",), tpu=TpuRoutine(cmdbuf="subfunc_0")),
        Routine(
            kind=RoutineKind.CPU,
            inputs=("größe",),
            outputs=("out",),
            cpu=CpuRoutine(function="softmax", args=encode_arguments({"axis": 1})),
        ),
    )
    program = Program(
        batch=1,
        inputs=("in",),
        outputs=("out",),
        tensors=tensors,
        routines=routines,
        shared_gmem=1024,
        private_gmem=16,
    )
    return CviModelFile(
        name="sample",
        chip="cv183x",
        target="cv183x",
        mlir_version="test",
        build_time="2024-01-01 00:00:00",
        weight_map=(Weight(name="w", offset=gmem(1, 16), size=4, shape=(1, 4, 1, 1)),),
        programs=(program, replace(program, batch=4)),
        sections=(
            Section(name="weight", data=bytes(range(40))),
            Section(kind=SectionKind.CMDBUF, name="subfunc_0", data=b"\xa5\x70" + bytes(118)),
        ),
    )
