"""The CPU functions of the vendor's runtime (FACTS_CVIMODEL 6), by name.

A function gets its input arrays, its arguments and the outputs it has to produce, and
returns one array per output. Where the vendor's function has a fault, ours has it too:
boards do what the vendor's runtime does.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeVar

import numpy as np

from cvi.errors import ModelError, RunnerError, UnsupportedError
from cvi.ir.types import Array, DType
from cvi_tpu.libm import expf
from cvi_tpu.model.arguments import Value
from cvi_tpu.model.schema import Tensor

CpuFunction = Callable[[Sequence[Array], Mapping[str, Value], Sequence[Tensor]], Sequence[Array]]

FUNCTIONS: dict[str, CpuFunction] = {}

_T = TypeVar("_T", bool, int, float, str)


def cpu_function(*names: str) -> Callable[[CpuFunction], CpuFunction]:
    """Register the decorated function under these names."""

    def register(function: CpuFunction) -> CpuFunction:
        for name in names:
            FUNCTIONS[name] = function
        return function

    return register


def find_cpu_function(name: str) -> CpuFunction:
    """The function of that name; UnsupportedError names the nearest ones."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    near = difflib.get_close_matches(name, FUNCTIONS, n=3)
    raise UnsupportedError(
        f"the simulator has no CPU function {name!r}"
        + (f"; did you mean {', '.join(near)}?" if near else ""),
        fix="run the file with `--runner vendor`",
    )


def argument(arguments: Mapping[str, Value], key: str, kind: type[_T]) -> _T:
    """An argument of exactly that type; ModelError otherwise, as the runtime aborts."""
    value = arguments.get(key)
    if type(value) is not kind:
        given = "nothing" if value is None else type(value).__name__
        raise ModelError(f"the CPU function needs {key!r} as {kind.__name__}; the file has {given}")
    return value


@cpu_function("quant")
def quant(
    inputs: Sequence[Array], arguments: Mapping[str, Value], outputs: Sequence[Tensor]
) -> list[Array]:
    """fp32 to int8 or BF16, and int8 or BF16 to fp32."""
    x, target = inputs[0], outputs[0].dtype
    if target is DType.FP32:
        if x.dtype == np.int8:
            return [x.astype(np.float32) * np.float32(_scale(arguments, to_integer=False))]
        if x.dtype == np.uint16:
            return [(x.astype(np.uint32) << np.uint32(16)).view(np.float32)]
    elif x.dtype == np.float32 and target is DType.INT8:
        return [to_int8(x * np.float32(_scale(arguments, to_integer=True)))]
    elif x.dtype == np.float32 and target is DType.BF16:
        raised = np.ascontiguousarray(x * np.float32(1.001957)).view(np.uint32)
        return [(raised >> np.uint32(16)).astype(np.uint16)]
    raise UnsupportedError(f"CPU function quant cannot turn {x.dtype} into {target.value}")


def _scale(arguments: Mapping[str, Value], *, to_integer: bool) -> float:
    if "scale" in arguments:
        return argument(arguments, "scale", float)
    threshold = np.float32(argument(arguments, "threshold", float))
    return float(np.float32(128) / threshold if to_integer else threshold / np.float32(128))


def to_int8(scaled: Array) -> Array:
    """Round half away from zero and saturate to int8."""
    # in double precision adding a half does not round up 0.49999997
    wide = np.asarray(scaled, np.float64)
    rounded: Array = np.trunc(wide + np.copysign(0.5, wide))
    clipped: Array = np.clip(np.nan_to_num(rounded), -128, 127)
    return clipped.astype(np.int8)


@cpu_function("softmax", "softmax_cpu")
def softmax(
    inputs: Sequence[Array], arguments: Mapping[str, Value], outputs: Sequence[Tensor]
) -> list[Array]:
    """expf of the C library, a sequential fp32 sum, an fp32 division.

    What is subtracted before exp is the larger of a row's maximum and the first value at
    its position behind the axis in the whole tensor: the vendor's search starts there, also
    in later rows (measured).
    """
    x = _fp32(inputs[0], "softmax")
    axis = argument(arguments, "axis", int)
    if not -x.ndim <= axis < x.ndim:
        raise RunnerError(f"softmax along axis {axis} of a tensor with {x.ndim} axes")
    axis %= x.ndim
    rows = x.reshape(prod(x.shape[:axis]), x.shape[axis], -1)
    largest = np.maximum(rows.max(axis=1, keepdims=True), rows[0, 0])
    powers = expf(rows - largest)
    # cumsum adds one after the other in fp32, which sum does not promise
    total = np.cumsum(powers, axis=1, dtype=np.float32)[:, -1:]
    with np.errstate(invalid="ignore"):  # all powers can underflow: 0 / 0, as on the board
        return [(powers / total).reshape(x.shape)]


@cpu_function("transpose")
def transpose(
    inputs: Sequence[Array], arguments: Mapping[str, Value], outputs: Sequence[Tensor]
) -> list[Array]:
    """NHWC data to the NCHW shape of the output."""
    n, c, h, w = outputs[0].shape[:4]
    if inputs[0].size != n * c * h * w:
        raise RunnerError(f"transpose of {inputs[0].shape} to {outputs[0].shape}")
    return [inputs[0].reshape(n, h, w, c).transpose(0, 3, 1, 2)]


@cpu_function("cumsum")
def cumsum(
    inputs: Sequence[Array], arguments: Mapping[str, Value], outputs: Sequence[Tensor]
) -> list[Array]:
    """Running sum along an axis, in fp32."""
    x = _fp32(inputs[0], "cumsum")
    return [np.cumsum(x, axis=argument(arguments, "axis", int), dtype=np.float32)]


def _fp32(x: Array, name: str) -> Array:
    if x.dtype != np.float32:
        raise UnsupportedError(f"CPU function {name} works on fp32, not on {x.dtype}")
    return x
