"""What the chips of the family cannot do, one function per limit.

A constraint's docstring is the text of the error and a line of the page of supported ops;
its result is whether the op is within the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc
from typing import get_args

from cvi.ir import DType, Graph, Input, Op
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.partition import Unit, unit_of
from cvi_tpu.quantized.ops import (
    Bf16AvgPool2d,
    Bf16Conv2d,
    Bf16MaxPool2d,
    CpuSoftmax,
    Int8AvgPool2d,
    Int8Conv2d,
    Int8MaxPool2d,
)

Convolution = Int8Conv2d | Bf16Conv2d
Windowed = Convolution | Int8MaxPool2d | Int8AvgPool2d | Bf16MaxPool2d | Bf16AvgPool2d

Constraint = Callable[[Op, Graph, ChipSpec], bool]

CONSTRAINTS: list[tuple[type[Op], Constraint]] = []


def limits(*kinds: type[Op]) -> Callable[[Constraint], Constraint]:
    """Register the decorated function as a limit of these ops and their children."""

    def register(function: Constraint) -> Constraint:
        CONSTRAINTS.extend((kind, function) for kind in kinds)
        return function

    return register


def text_of(constraint: Constraint) -> str:
    """The words of a limit, on one line."""
    return " ".join((getdoc(constraint) or "").split())


def check(graph: Graph, spec: ChipSpec) -> list[str]:
    """What the chip cannot run, one line per layer and reason; empty when all is well."""
    found = [
        f"{op.name} ({op.kind}): {text_of(constraint)}"
        for op in graph.ops
        for kind, constraint in CONSTRAINTS
        if isinstance(op, kind) and not constraint(op, graph, spec)
    ]
    found += [
        f"{name}: A network output must be the result of a layer, not a constant."
        for name in graph.outputs
        if name in graph.constants
    ]
    return found


@limits(Op)
def has_kernel(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """The TPU has no kernel and the runtime no function for this op and element type."""
    return isinstance(op, Input) or unit_of(op) is not None


@limits(Op)
def cpu_functions_exist(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """The op runs on the CPU, but the runtime of this chip has no CPU functions."""
    return unit_of(op) is not Unit.CPU or spec.has_cpu_functions


@limits(Op)
def storable(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """A program file holds no 64-bit integers and no booleans."""
    return op.type.dtype not in (DType.INT64, DType.BOOL)


@limits(Op)
def addressable(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """A tensor may have at most 2 GiB."""
    return op.type.bytes < 1 << 31


@limits(CpuSoftmax)
def softmax_of_floats(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """Softmax runs on the CPU on fp32 tensors only."""
    return op.type.dtype is DType.FP32


@limits(*get_args(Windowed))
def small_pads(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """The padding of a window is at most 15 on each side."""
    assert isinstance(op, Windowed)
    return max(op.pads) <= spec.max_pad


@limits(*get_args(Windowed))
def small_strides(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """The stride of a window is at most what the chip's instructions hold: 15 on cv183x,
    31 on cv182x, cv181x and cv180x."""
    assert isinstance(op, Windowed)
    return max(op.stride) <= spec.max_stride


@limits(*get_args(Convolution))
def small_insertions(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """The stride of a transposed convolution is at most what the chip's instructions hold:
    16 on cv183x, 15 on cv182x, cv181x and cv180x."""
    assert isinstance(op, Convolution)
    return max(op.insert) <= spec.max_insert


@limits(*get_args(Convolution))
def small_dilations(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """The dilation of a convolution is at most what the chip's instructions hold: 16 on
    cv183x, 15 on cv182x, cv181x and cv180x."""
    assert isinstance(op, Convolution)
    return max(op.dilation) <= spec.max_dilation
