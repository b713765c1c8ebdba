"""Which casts bring a value from the forms that it has to the one that is asked for.

On the TPU int8 becomes BF16 and the other way round, and fp32 and BF16 differ in their
lower halves (FACTS_TPU 7.5): one copy in local memory on every chip, which is cheaper than
another routine on the CPU. Between int8 and fp32 the runtime's CPU function is exact; where
a chip has none, the way leads over BF16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cvi.ir import DType, Op
from cvi_tpu.quantized.ops import (
    Bf16FromFp32,
    Bf16FromInt8,
    Dequantize,
    Fp32FromBf16,
    Int8FromBf16,
    Quantize,
)

if TYPE_CHECKING:
    from cvi_tpu.quantized.rewriter import Operand, Rewriter

_INT8, _BF16, _FP32 = DType.INT8, DType.BF16, DType.FP32

_SUFFIXES = {
    (_FP32, _INT8): "quant_i8",
    (_BF16, _INT8): "quant_i8",
    (_INT8, _FP32): "dequant",
    (_BF16, _FP32): "dequant",
    (_INT8, _BF16): "dequant_bf16",
    (_FP32, _BF16): "quant_bf16",
}
"""The names of casts are the vendor's (FACTS_TOOLCHAIN 6.1)."""


def cast(to: Rewriter, name: str, forms: Mapping[DType, Operand], dtype: DType) -> Operand:
    """Add what makes this form of a value."""
    source = _source(to, name, forms, dtype)
    op = _cast(to, name, source, dtype)
    suffix = _SUFFIXES[source.dtype, dtype]
    return to.add(op.with_(name=to.fresh(name, suffix), inputs=(source.name,)))


def _source(to: Rewriter, name: str, forms: Mapping[DType, Operand], dtype: DType) -> Operand:
    """The form that is cast: BF16 where it is there or needed on the way, else the first."""
    first = next(iter(forms.values()))
    direct = _BF16 in (first.dtype, dtype) or to.spec.has_cpu_functions
    if _BF16 in forms and not (first.dtype is _INT8 and direct):
        return forms[_BF16]
    return first if direct else to.bf16(name)


def _cast(to: Rewriter, name: str, source: Operand, dtype: DType) -> Op:
    if dtype is _INT8:
        steps = 1 / to.scale(name)
        if source.dtype is _FP32:
            return Quantize(name="", scale=steps)
        return Int8FromBf16(name="", scale=steps, out_scale=to.scale(name), out_zero=to.zero(name))
    if dtype is _BF16:
        if source.dtype is _FP32:
            return Bf16FromFp32(name="")
        return Bf16FromInt8(name="", scale=source.scale, zero=source.zero)
    if source.dtype is _BF16:
        return Fp32FromBf16(name="")
    return Dequantize(name="", scale=source.scale)
