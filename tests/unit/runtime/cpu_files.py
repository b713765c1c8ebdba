"""Program files of CPU functions only."""

from __future__ import annotations

from cvi_tpu.model import (
    CpuRoutine,
    CviModelFile,
    Element,
    Program,
    Routine,
    RoutineKind,
    Section,
    Tensor,
    encode_arguments,
    gmem,
)
from cvi_tpu.model.arguments import Value

SHAPE = (1, 2, 3, 4)


def cpu_routine(
    function: str, arguments: dict[str, Value], source: str = "x", target: str = "y"
) -> Routine:
    return Routine(
        kind=RoutineKind.CPU,
        inputs=(source,),
        outputs=(target,),
        cpu=CpuRoutine(function=function, args=encode_arguments(arguments)),
    )


def tensor(name: str, offset: int, element: Element = Element.FP32) -> Tensor:
    return Tensor(name=name, offset=offset, element=element, shape=SHAPE)


def program_of(*routines: Routine, extra: tuple[Tensor, ...] = (), shared: int = 4096) -> Program:
    return Program(
        batch=1,
        inputs=("x",),
        outputs=("y",),
        tensors=(tensor("x", gmem(3, 0)), *extra, tensor("y", gmem(4, 0))),
        routines=routines,
        shared_gmem=shared,
    )


def file_of(*programs: Program, weights: bytes = b"") -> CviModelFile:
    section = Section(name="weight", data=weights)
    return CviModelFile(name="t", chip="cv183x", programs=programs, sections=(section,))
