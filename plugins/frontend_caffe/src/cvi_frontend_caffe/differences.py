"""Layers of which OpenCV is no judge, and layers that it knows by another name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cvi.ir import Shape
from cvi_frontend_caffe.schema import is_repeated

_LACKING = frozenset({
    "Upsample", "BN", "HardSwish", "Embed", "Lstm", "ContinuationIndicator", "MatMul", "Bias",
    "Reverse", "Squeeze", "DummyData", "FrcnDetection", "YoloDetection", "RetinaFaceDetection",
    "Clip", "Python",
})  # fmt: skip

_FIRST_OF_FORKS = 1001
"""Numbers of fields in `caffe.proto` that stand in text files of forks only."""

_WITHOUT_MEANING = frozenset({
    "relu", "conv_algorithm", "fusion_type", "avg_include_pad",
    "pad_3d", "kernel_size_3d", "stride_3d", "use_weight_bias", "fuse", "round_mode", "yolo",
})  # fmt: skip
"""Fields of Intel's and the vendor's forks that OpenCV does not know either; those with
another value than their default are refused, or no case for OpenCV."""

_PARAMS = ("convolution_param", "pooling_param", "inner_product_param", "batch_norm_param",
           "relu_param", "relu6_param")  # fmt: skip


def difference(layer: Any) -> str:
    """Why OpenCV's result of a `LayerParameter` is no reference, "" when it is one."""
    kind = str(layer.type)
    if kind in _LACKING:
        return f"OpenCV has no layer {kind}"
    check = _CHECKS.get(kind)
    return check(layer) if check else ""


def renamed(layer: Any) -> bool:
    """Whether OpenCV needs `in_its_words` instead of the layer as it is."""
    other_default = (layer.type == "LRN" and not layer.lrn_param.HasField("alpha")) or (
        layer.type == "PriorBox" and not layer.prior_box_param.HasField("clip")
    )
    unsaid = layer.type == "Slice" and not layer.slice_param.slice_point
    return (
        str(layer.type) in _WORDS
        or other_default
        or unsaid
        or _plain_mean(layer)
        or _from_a_fork(layer)
    )


def _from_a_fork(message: Any) -> bool:
    """Whether a message has fields that only forks know, in OpenCV's eyes unknown ones.

    It forgets the defaults of all other fields then, up to divisions by a group of 0.
    """
    return any(
        known.number >= _FIRST_OF_FORKS
        or known.name in _WITHOUT_MEANING
        or (known.message_type is not None and not is_repeated(known) and _from_a_fork(value))
        for known, value in message.ListFields()
    )


def _without_forks(layer: Any) -> None:
    """Clear what OpenCV does not know and what says nothing."""
    for name in _PARAMS:
        if layer.HasField(name):
            params = getattr(layer, name)
            for known, _ in params.ListFields():
                if known.name in _WITHOUT_MEANING:
                    params.ClearField(known.name)


def in_its_words(layer: Any, shape: Shape) -> Any:
    """A layer that means the same to OpenCV; the layer itself when it needs no other words.

    shape: of the first bottom. OpenCV's Axpy multiplies its third bottom, Caffe's second;
    its LRN has another alpha where the file gives none, its PriorBox clips then.
    """
    if not renamed(layer):
        return layer
    copy = type(layer)()
    copy.CopyFrom(layer)
    kind = str(layer.type)
    _without_forks(copy)
    _say_defaults(copy)
    copy.type = "ReLU6" if layer.relu_param.relu6 else _WORDS.get(kind, kind)
    if kind != "Convolution" and copy.type == "Convolution":
        copy.convolution_param.group = shape[1]
    elif copy.type == "Eltwise":
        copy.eltwise_param.operation = _enumerator(copy.eltwise_param, "operation", "PROD")
    elif copy.type == "Axpy":
        factor, x, y = layer.bottom
        copy.bottom[:] = [factor, y, x]
    elif copy.type == "LRN":
        copy.lrn_param.alpha = layer.lrn_param.alpha
    elif copy.type == "PriorBox":
        copy.prior_box_param.clip = layer.prior_box_param.clip
    elif copy.type == "Slice":
        copy.slice_param.slice_point.extend(_equal_parts(layer, shape))
    elif copy.type == "Pooling" and _plain_mean(layer):
        copy.pooling_param.pool = _enumerator(copy.pooling_param, "pool", "AVE")
    return copy


def _equal_parts(layer: Any, shape: Shape) -> list[int]:
    """The slice points of a layer that names none."""
    params = layer.slice_param
    axis = params.slice_dim if params.HasField("slice_dim") else params.axis
    step = shape[axis] // len(layer.top)
    return [i * step for i in range(1, len(layer.top))]


def _say_defaults(layer: Any) -> None:
    """Say all that a convolution or pool would have by default, in the longest words."""
    conv, pool = layer.convolution_param, layer.pooling_param
    if layer.HasField("convolution_param"):
        conv.group, conv.bias_term = conv.group, conv.bias_term
        conv.dilation.extend([] if conv.dilation else [1])
        _spread(conv, "kernel", conv.kernel_size)
        _spread(conv, "stride", conv.stride or [1])
        del conv.kernel_size[:], conv.stride[:]
    if layer.HasField("pooling_param"):
        pool.pool, pool.global_pooling = pool.pool, pool.global_pooling
        pool.ceil_mode = pool.ceil_mode
        if not pool.global_pooling:
            _spread(pool, "kernel", [pool.kernel_size])
        _spread(pool, "stride", [pool.stride])
        pool.ClearField("kernel_size")
        pool.ClearField("stride")


def _spread(params: Any, stem: str, values: Sequence[int]) -> None:
    """`<stem>_h` and `<stem>_w` where they are not said already."""
    if values and not params.HasField(f"{stem}_h"):
        setattr(params, f"{stem}_h", values[0])
        setattr(params, f"{stem}_w", values[-1])


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
    excluding: bool = params.pool == _enumerator(params, "pool", "AVE_EXC_PAD")
    return excluding and not any(getattr(params, name) for name in names)


def _pooling(layer: Any) -> str:
    params = layer.pooling_param
    if params.pool == _enumerator(params, "pool", "AVE_EXC_PAD") and not _plain_mean(layer):
        return "OpenCV does not know the method AVE_EXC_PAD"
    if params.yolo or params.round_mode:
        return "OpenCV does not know the rounding of the fork"
    if not params.avg_include_pad:
        return "OpenCV does not know the parameter avg_include_pad"
    return ""


def _lrn(layer: Any) -> str:
    return "OpenCV ignores the parameter k" if layer.lrn_param.k != 1 else ""


_CHECKS: dict[str, Callable[[Any], str]] = {"Pooling": _pooling, "LRN": _lrn}
