"""Conversions of element types and of pixel values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi.errors import ModelError, UnsupportedError
from cvi.ir.types import Array, DType
from cvi_tpu.model.arguments import Floats, Ints
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function


@cpu_function("quant")
def quant(call: Call) -> list[Array]:
    """fp32 to int8 or BF16, and int8 or BF16 to fp32."""
    source = call.operand(0, DType.FP32, DType.INT8, DType.BF16)
    target = call.output(DType.FP32, DType.INT8, DType.BF16).dtype
    x = source.values
    if target is DType.FP32:
        if source.dtype is DType.INT8:
            return [x.astype(np.float32) * np.float32(_scale(call, to_integer=False))]
        if source.dtype is DType.BF16:
            return [(x.astype(np.uint32) << np.uint32(16)).view(np.float32)]
    elif source.dtype is DType.FP32 and target is DType.INT8:
        return [to_int8(x * np.float32(_scale(call, to_integer=True)))]
    elif source.dtype is DType.FP32 and target is DType.BF16:
        raised = np.ascontiguousarray(x * np.float32(1.001957)).view(np.uint32)
        return [(raised >> np.uint32(16)).astype(np.uint16)]
    raise UnsupportedError(
        f"CPU function quant cannot turn {source.dtype.value} into {target.value}"
    )


def _scale(call: Call, *, to_integer: bool) -> float:
    if "scale" in call.arguments:
        return call.argument("scale", float)
    threshold = np.float32(call.argument("threshold", float))
    return float(np.float32(128) / threshold if to_integer else threshold / np.float32(128))


def to_int8(scaled: Array) -> Array:
    """Round half away from zero and saturate to int8."""
    # in double precision adding a half does not round up 0.49999997
    wide = np.asarray(scaled, np.float64)
    rounded: Array = np.trunc(wide + np.copysign(0.5, wide))
    clipped: Array = np.clip(np.nan_to_num(rounded), -128, 127)
    return clipped.astype(np.int8)


@cpu_function("preprocess")
def preprocess(call: Call) -> list[Array]:
    """Channels into another order, then value * raw_scale - mean[channel] * scale, in fp32.

    Input channel j becomes output channel color_order[j]. A raw_scale of 0, an empty mean
    and an empty color_order mean: leave it out.
    """
    x = call.fp32(0)
    call.fills(x.size)
    scale, raw_scale = (np.float32(call.argument(k, float)) for k in ("scale", "raw_scale"))
    means, order = call.argument("mean", Floats).values, call.argument("color_order", Ints).values
    channels = x.shape[1]
    if order:
        x = x[:, _inverse(order, channels)]
    if raw_scale != 0:
        x = x * raw_scale
    if means:
        if len(means) < channels:
            raise ModelError(f"argument 'mean' has {len(means)} values for {channels} channels")
        x = x - np.array(means[:channels], np.float32)[:, None, None]
    return [x * scale]


def _inverse(order: Sequence[int], channels: int) -> Array:
    """Where each output channel comes from."""
    if sorted(order[:channels]) != list(range(channels)):
        raise ModelError(f"argument 'color_order' {order} is no order of {channels} channels")
    return np.argsort(order[:channels])
