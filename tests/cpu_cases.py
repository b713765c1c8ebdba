"""Calls of CPU functions: many of them as one program file, inputs being weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cvi.ir.types import Array
from cvi_tpu.model import (
    CpuRoutine,
    CviModelFile,
    Element,
    Program,
    Routine,
    RoutineKind,
    Section,
    Tensor,
    Weight,
    encode_arguments,
    gmem,
    write,
)
from cvi_tpu.model.arguments import Value
from cvi_tpu.runtime import Call, Operand
from cvi_tpu.runtime.functions import find_cpu_function

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call. inputs: arrays of four dimensions; uint16 ones are BF16 unless `elements`
    says otherwise. outputs: shape and element type of each."""

    function: str
    arguments: Mapping[str, Value]
    inputs: Sequence[Array]
    outputs: Sequence[tuple[Shape, Element]]
    elements: Mapping[int, Element] = field(default_factory=dict)
    names: Sequence[str] = ()

    def element(self, index: int) -> Element:
        if index in self.elements:
            return self.elements[index]
        kind = self.inputs[index].dtype
        return Element.BF16 if kind == np.uint16 else Element[_KINDS[kind.name]]

    def name(self, index: int) -> str:
        return self.names[index] if self.names else f"i{index}"


_KINDS = {
    "float32": "FP32",
    "int8": "INT8",
    "uint8": "UINT8",
    "int16": "INT16",
    "int32": "INT32",
    "uint32": "UINT32",
}


def fp32(*shape: int) -> tuple[Shape, Element]:
    return shape, Element.FP32


def model_of(cases: Sequence[Case]) -> CviModelFile:
    """One program; input `index` of case k is the weight "k:name", its output "k/index"."""
    data, table, tensors, routines = bytearray(16), [], [], []
    for k, case in enumerate(cases):
        for i, array in enumerate(case.inputs):
            data.extend(bytes(-len(data) % 64))
            weight = Weight(
                name=f"{k}:{case.name(i)}",
                offset=gmem(1, len(data)),
                size=array.nbytes,
                shape=array.shape,
                element=case.element(i),
            )
            table.append(weight)
            data.extend(np.ascontiguousarray(array).tobytes())
        for i, (shape, element) in enumerate(case.outputs):
            tensors.append(Tensor(name=f"{k}/{i}", offset=-1, element=element, shape=shape))
        routines.append(_routine(k, case))
    ends = [
        Tensor(name="x", offset=gmem(3, 0), shape=(1, 1, 1, 1)),
        Tensor(name="y", offset=gmem(4, 0), shape=(1, 1, 1, 1)),
    ]
    copy = CpuRoutine(function="transpose", args=encode_arguments({}))
    last = Routine(kind=RoutineKind.CPU, inputs=("x",), outputs=("y",), cpu=copy)
    program = Program(
        batch=1,
        inputs=("x",),
        outputs=("y",),
        tensors=(*ends, *tensors),
        routines=(*routines, last),
        shared_gmem=4096,
    )
    return CviModelFile(
        name="t",
        chip="cv183x",
        target="cv183x",
        programs=(program,),
        sections=(Section(name="weight", data=bytes(data)),),
        weight_map=tuple(table),
    )


def _routine(k: int, case: Case) -> Routine:
    return Routine(
        kind=RoutineKind.CPU,
        inputs=tuple(f"{k}:{case.name(i)}" for i in range(len(case.inputs))),
        outputs=tuple(f"{k}/{i}" for i in range(len(case.outputs))),
        cpu=CpuRoutine(function=case.function, args=encode_arguments(case.arguments)),
    )


def file_of_cases(cases: Sequence[Case]) -> bytes:
    return write(model_of(cases))


def settled(case: Case | None, theirs: Array, ours: Array) -> Array:
    """The vendor's result without what old memory made of it: `deform_conv2d` adds 0 times
    what lay in its output before, which is NaN where that happened to be NaN or infinite."""
    if case is None or case.function != "deform_conv2d":
        return theirs
    kept: Array = np.where(np.isnan(theirs), ours, theirs)
    return kept


INPUT = {"x": np.zeros((1, 1, 1, 1), np.float32)}
"""What a program of cases is fed with."""


def results(case: Case) -> list[Array]:
    """The outputs of our function, without a program around it."""
    call = Call(
        inputs=[Operand(case.name(i), case.element(i).dtype, x) for i, x in enumerate(case.inputs)],
        arguments=case.arguments,
        outputs=[
            Tensor(name=f"o{i}", element=element, shape=shape)
            for i, (shape, element) in enumerate(case.outputs)
        ],
    )
    with np.errstate(all="ignore"):
        found = find_cpu_function(case.function)(call)
    return [
        np.asarray(values).reshape(shape)
        for values, (shape, _) in zip(found, case.outputs, strict=True)
    ]
