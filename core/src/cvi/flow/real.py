"""Between stored values and the real numbers they stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cvi.ir import Array, DType, Graph, Input
from cvi.ir.types import TensorType


def real_values(graph: Graph, values: Mapping[str, Array]) -> dict[str, Array]:
    """The real numbers (fp32) of layers' stored values, by the types in the graph."""
    return {name: real(values[name], graph.type_of(name)) for name in values}


def real(array: Array, kind: TensorType) -> Array:
    """Integers from their zero on, times their scale; BF16 widened; floats as they are."""
    if kind.dtype is DType.BF16 and array.dtype == np.uint16:
        widened: Array = (array.astype(np.uint32) << 16).view(np.float32)
        return widened
    if kind.scale is not None and array.dtype.kind in "iu":
        scaled: Array = (array.astype(np.float32) - np.float32(kind.zero)) * np.float32(kind.scale)
        return scaled
    return array


def quantised_input(op: Input, array: Array) -> Array:
    """A real input in the stored type of a network input.

    As the runtime does (DECISIONS, FACTS_TOOLCHAIN 1.11): integers are rounded half
    away from zero and saturated, BF16 is truncated. Other arrays pass unchanged.
    """
    kind = op.type
    if array.dtype != np.float32 or kind.dtype is DType.FP32:
        return array
    if kind.dtype is DType.BF16:
        high: Array = (array.view(np.uint32) >> 16).astype(np.uint16)
        return high
    scaled = array if kind.scale is None else array * np.float32(1.0 / kind.scale)
    rounded: Array = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)) + np.float32(kind.zero)
    limits = np.iinfo(kind.dtype.numpy)
    clipped: Array = np.clip(rounded, limits.min, limits.max)
    return clipped.astype(kind.dtype.numpy)


def quantised_inputs(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Float test inputs in the types of a quantised graph's inputs."""
    return {op.name: quantised_input(op, inputs[op.name]) for op in graph.inputs}
