"""Layers of which OpenCV is no judge, and layers that it knows by another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LACKING = frozenset({
    "Upsample", "BN", "HardSwish", "Embed", "Lstm", "ContinuationIndicator", "MatMul", "Bias",
    "Reverse", "Squeeze", "DummyData", "FrcnDetection", "YoloDetection", "RetinaFaceDetection",
    "Clip", "Python",
})  # fmt: skip


def difference(layer: Any) -> str:
    """Why OpenCV's result of a `LayerParameter` is no reference, "" when it is one."""
    kind = str(layer.type)
    if kind in _LACKING:
        return f"OpenCV has no layer {kind}"
    check = _CHECKS.get(kind)
    return check(layer) if check else ""


def renamed(layer: Any) -> bool:
    """Whether OpenCV needs `in_its_words` instead of the layer as it is."""
    return str(layer.type) in _WORDS or layer.relu_param.relu6 or _plain_mean(layer)


def in_its_words(layer: Any, channels: int) -> Any:
    """A layer that means the same to OpenCV; the layer itself when it needs no other words.

    channels: of the first bottom. OpenCV's Axpy multiplies its third bottom, Caffe's second.
    """
    if not renamed(layer):
        return layer
    copy = type(layer)()
    copy.CopyFrom(layer)
    copy.type = "ReLU6" if layer.relu_param.relu6 else _WORDS.get(str(layer.type), "Pooling")
    if copy.type == "Convolution":
        copy.convolution_param.group = channels
    elif copy.type == "Eltwise":
        copy.eltwise_param.operation = _enumerator(copy.eltwise_param, "operation", "PROD")
    elif copy.type == "Axpy":
        factor, x, y = layer.bottom
        copy.bottom[:] = [factor, y, x]
    elif copy.type == "Pooling":
        copy.pooling_param.pool = _enumerator(copy.pooling_param, "pool", "AVE")
    return copy


_WORDS = {
    "Axpy": "Axpy",
    "DepthwiseConvolution": "Convolution",
    "ConvolutionDepthwise": "Convolution",
    "Mul": "Eltwise",
}


def _enumerator(message: Any, field: str, name: str) -> int:
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    return int(enum.values_by_name[name].number)


def _plain_mean(layer: Any) -> bool:
    """A mean that leaves out the padding, without any padding."""
    params = layer.pooling_param
    names = ("pad", "pad_h", "pad_w", "pad_t", "pad_l", "pad_b", "pad_r")
    excluding = params.pool == _enumerator(params, "pool", "AVE_EXC_PAD")
    return excluding and not any(getattr(params, name) for name in names)


def _pooling(layer: Any) -> str:
    params = layer.pooling_param
    if params.pool == _enumerator(params, "pool", "AVE_EXC_PAD") and not _plain_mean(layer):
        return "OpenCV does not know the method AVE_EXC_PAD"
    if params.yolo or params.HasField("round_mode"):
        return "OpenCV does not know the rounding of the fork"
    return ""


_CHECKS: dict[str, Callable[[Any], str]] = {"Pooling": _pooling}
