"""Ops that the CPU computes, as functions of the vendor's runtime (FACTS_CVIMODEL 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import TYPE_CHECKING, get_args

import numpy as np

from cvi.errors import CviError
from cvi.ir import Array, DType, Op, Shape, TensorType
from cvi.ops import Softmax
from cvi.ops.check import Types, operands, positive, require
from cvi_tpu.libm import expf
from cvi_tpu.model import Element, Floats, Tensor, decode_arguments, encode_arguments, four_dims
from cvi_tpu.model.arguments import Value

if TYPE_CHECKING:
    from cvi_tpu.runtime.functions import Call

FILE_DIMS = 4
"""Dimensions of a tensor that the runtime looks at (FACTS_CVIMODEL 5)."""


@dataclass(frozen=True, kw_only=True)
class CpuSoftmax(Softmax):
    """Softmax by the runtime: exponentials by the C library's expf, an fp32 sum taken one
    element after the other, an fp32 division.

    The runtime's search for the maximum of a row starts from the tensor's first value at
    the row's place behind the axis, so that may be subtracted instead: only the rounding
    differs.
    """

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        rows = np.moveaxis(x, self.axis, 0)
        first = x[(0,) * (self.axis + 1)]
        largest = np.maximum(rows.max(axis=0), first)
        exponentials = expf(rows - largest)
        total = np.zeros(exponentials.shape[1:], np.float32)
        for one in exponentials:
            total = total + one
        return np.ascontiguousarray(np.moveaxis(exponentials / total, 0, self.axis))


@dataclass(frozen=True, kw_only=True)
class CpuFunction(Op):
    """A call of a CPU function of the runtime; its meaning is what the vendor's runtime
    computes, faults included (`cvi_tpu.runtime.functions`).

    function: its name, the vendor's or a plugin's. arguments: pairs of key and value, whose
    types the runtime checks exactly (1 is an int, 1.0 a float; numbers are 32-bit in the
    file). shape, dtype, scale: of the result; scale only of an int8 one.

    The function sees four dimensions: fewer are filled with 1 at the end, more are refused.
    Some functions find their operands by name or by shape, not by order. patterns: operands of
    uint16 are BF16.
    """

    function: str
    arguments: tuple[tuple[str, Value], ...] = ()
    shape: Shape
    dtype: DType = DType.FP32
    scale: float | None = None
    patterns: bool = False

    def infer(self, inputs: Types) -> TensorType:
        for x in operands(self, inputs, 1, max(1, len(inputs))):
            require(self, len(x.shape) <= FILE_DIMS, f"a CPU function cannot read {x}")
            # arrays of both hold uint16, so `evaluate` cannot tell
            known = x.dtype is not DType.BF16 or self.patterns
            require(self, known, f"reads {x}; cast it to fp32 before")
        require(self, len(self.shape) <= FILE_DIMS, f"a CPU function cannot give {self.shape}")
        positive(self, "shape", self.shape)
        keys = [key for key, _ in self.arguments]
        require(self, len(set(keys)) == len(keys), f"an argument is given twice: {keys}")
        for key, value in self.arguments:
            require(self, storable(value), f"argument {key!r} cannot be {value!r}")
        return TensorType(tuple(self.shape), self.dtype, self.scale)

    def evaluate(self, *inputs: Array | None) -> Array:
        # imported here: the runtime brings the whole simulator along
        from cvi_tpu.runtime.functions import find_cpu_function

        function, call = find_cpu_function(self.function), self._call(inputs)
        try:
            with np.errstate(all="ignore"):  # the boards do not warn either
                results = function(call)
        except CviError as error:
            error.where = error.where or f"{self.function} {self.name}"
            raise
        shown = ", ".join(f"{r.dtype}[{r.size}]" for r in results)
        fits = len(results) == 1 and results[0].size == prod(self.shape)
        fits = fits and results[0].dtype == self.dtype.numpy
        require(self, fits, f"{self.function} gives {shown} instead of {self.type}")
        return np.ascontiguousarray(results[0]).reshape(self.shape)

    def _call(self, inputs: Sequence[Array | None]) -> Call:
        from cvi_tpu.runtime.functions import Call, Operand

        read = []
        for name, x in zip(self.inputs, inputs, strict=True):
            assert x is not None
            kind = DType.BF16 if self.patterns and x.dtype == np.uint16 else DType.of(x)
            read.append(Operand(name, kind, x.reshape(four_dims(x.shape))))
        element = Element.of(self.dtype)
        result = Tensor(name=self.name, element=element, shape=four_dims(self.shape))
        stored = decode_arguments(encode_arguments(dict(self.arguments)))
        return Call(inputs=read, arguments=stored, outputs=(result,))


def storable(value: object) -> bool:
    """Whether a program file and an IR file hold exactly this argument."""
    if type(value) not in get_args(Value):
        return False
    if type(value) is int:
        return -(2**31) <= value < 2**31
    if isinstance(value, Floats):  # without numbers it would be read back as no `Ints`
        return bool(value.values) and all(map(isfinite, value.values))
    return not isinstance(value, float) or isfinite(value)
