"""Every op against TensorFlow Lite's interpreter, on small networks made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tflite_compare import Agree

from cvi.errors import UnsupportedError
from cvi.ops import Conv2d, Permute
from cvi_frontend_tflite.frontend import TfliteFrontend
from tflite_models import RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Net, random

Case = Callable[[Net], "int | list[int]"]

IMAGE = (1, 7, 9, 4)


def image(net: Net, *shape: int) -> int:
    return net.input(*(shape or IMAGE))


def conv(net: Net, x: int, *kernel: int, options: str = "Conv2DOptions", **fields: object) -> int:
    name = "CONV_2D" if options == "Conv2DOptions" else "DEPTHWISE_CONV_2D"
    channels = kernel[0] if name == "CONV_2D" else kernel[3]
    w, b = net.const(random(*kernel)), net.const(random(channels, seed=1))
    strides = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    return net.op(name, x, w, b, options=options, **{**strides, **fields})  # type: ignore[no-any-return]


def depthwise(net: Net, x: int, *kernel: int, **fields: object) -> int:
    return conv(net, x, *kernel, options="DepthwiseConv2DOptions", **fields)


def transpose_conv(net: Net, size: tuple[int, ...], padding: int, stride: int, k: int) -> int:
    x = image(net, 1, 3, 4, 2)
    return net.op(  # type: ignore[no-any-return]
        "TRANSPOSE_CONV", net.const(list(size)), net.const(random(3, k, k, 2)), x,
        options="TransposeConvOptions", Padding=padding, StrideH=stride, StrideW=stride,
    )  # fmt: skip


def pool(net: Net, name: str, padding: int, k: int, stride: int, act: int = 0) -> int:
    return net.op(  # type: ignore[no-any-return]
        name, image(net), options="Pool2DOptions", Padding=padding, FilterHeight=k,
        FilterWidth=k, StrideH=stride, StrideW=stride, FusedActivationFunction=act,
    )  # fmt: skip


def unary(name: str, positive: bool = False) -> Case:
    def build(net: Net) -> int:
        x = image(net)
        x = net.op("ABS", x) if positive else x
        return net.op(name, x)  # type: ignore[no-any-return]

    return build


def binary(name: str, act: int, *shape: int, kind: str = "") -> Case:
    """An image with another computed tensor of that shape."""
    options = kind or f"{name.capitalize()}Options"

    def build(net: Net) -> int:
        return net.op(  # type: ignore[no-any-return]
            name, image(net), net.input(*shape, name="y"), options=options,
            **({"FusedActivationFunction": act} if act else {}),
        )  # fmt: skip

    return build


def with_const(name: str, *shape: int, swapped: bool = False) -> Case:
    def build(net: Net) -> int:
        operands = [image(net), net.const(random(*shape) + 2)]
        return net.op(name, *operands[:: -1 if swapped else 1])  # type: ignore[no-any-return]

    return build


def reduced(name: str, axes: list[int], keep: bool) -> Case:
    return lambda net: net.op(
        name, image(net), net.const(axes), options="ReducerOptions", KeepDims=keep
    )


def shaped(*shape: int, of: tuple[int, ...] = IMAGE) -> Case:
    return lambda net: net.op("RESHAPE", net.op("RELU", image(net, *of)), net.const(list(shape)))


def resized(name: str, h: int, w: int, **flags: bool) -> Case:
    kind = "ResizeBilinearOptions" if "BILINEAR" in name else "ResizeNearestNeighborOptions"
    return lambda net: net.op(name, image(net), net.const([h, w]), options=kind, **flags)


def sliced(begin: list[int], end: list[int], steps: list[int], *of: int, **masks: int) -> Case:
    return lambda net: net.op(
        "STRIDED_SLICE", image(net, *of), *(net.const(v) for v in (begin, end, steps)),
        options="StridedSliceOptions", **masks,
    )  # fmt: skip


def fully_connected(
    *shape: int, n: int = 5, k: int | None = None, keep: bool = False, act: int = 0
) -> Case:
    depth = k or shape[-1]
    return lambda net: net.op(
        "FULLY_CONNECTED", image(net, *shape), net.const(random(n, depth)),
        net.const(random(n, seed=3)), options="FullyConnectedOptions", KeepNumDims=keep,
        FusedActivationFunction=act,
    )  # fmt: skip


def padded(name: str, *more: float, **fields: int) -> Case:
    return lambda net: net.op(
        name, image(net), net.const([[0, 0], [1, 0], [2, 1], [0, 0]]), *map(net.const, more),
        options="MirrorPadOptions" if fields else "", **fields,
    )  # fmt: skip


def matmul(a: tuple[int, ...], b: tuple[int, ...], **fields: bool) -> Case:
    return lambda net: net.op(
        "BATCH_MATMUL", net.input(*a, name="a"), net.input(*b, name="b"),
        options="BatchMatMulOptions", **fields,
    )  # fmt: skip


CASES: dict[str, Case] = {
    "conv same": lambda n: conv(n, image(n), 6, 3, 3, 4, Padding=SAME),
    "conv valid relu6": lambda n: conv(
        n, image(n), 6, 3, 2, 4, Padding=VALID, FusedActivationFunction=RELU6
    ),
    "conv strides, odd pads": lambda n: conv(
        n, image(n, 1, 8, 10, 4), 6, 3, 3, 4, Padding=SAME, StrideH=2, StrideW=2
    ),
    "conv dilated": lambda n: conv(
        n, image(n), 6, 3, 3, 4, Padding=SAME, DilationHFactor=2, DilationWFactor=3
    ),
    "conv of groups": lambda n: conv(n, image(n), 6, 3, 3, 2, Padding=SAME),
    "conv relu-1-1": lambda n: conv(n, image(n), 3, 1, 1, 4, FusedActivationFunction=RELU_N1_TO_1),
    "depthwise": lambda n: depthwise(n, image(n), 1, 3, 3, 4, Padding=SAME, DepthMultiplier=1),
    "depthwise multiplied": lambda n: depthwise(
        n, image(n), 1, 3, 3, 8, Padding=SAME, DepthMultiplier=2, StrideH=2, StrideW=2
    ),
    "depthwise of one channel": lambda n: depthwise(
        n, image(n, 1, 6, 6, 1), 1, 3, 3, 4, Padding=VALID, DepthMultiplier=4
    ),
    "depthwise dilated": lambda n: depthwise(
        n, image(n), 1, 3, 3, 4, Padding=SAME, DepthMultiplier=1, DilationHFactor=2,
        DilationWFactor=2,
    ),
    "transpose conv same": lambda n: transpose_conv(n, (1, 6, 8, 3), SAME, 2, 3),
    "transpose conv same 4": lambda n: transpose_conv(n, (1, 6, 8, 3), SAME, 2, 4),
    "transpose conv valid": lambda n: transpose_conv(n, (1, 7, 9, 3), VALID, 2, 3),
    "transpose conv short kernel": lambda n: transpose_conv(n, (1, 9, 12, 3), SAME, 3, 2),
    "average pool same": lambda n: pool(n, "AVERAGE_POOL_2D", SAME, 3, 2),
    "average pool valid": lambda n: pool(n, "AVERAGE_POOL_2D", VALID, 2, 2, RELU),
    "max pool same": lambda n: pool(n, "MAX_POOL_2D", SAME, 3, 2, RELU6),
    "l2 pool": lambda n: pool(n, "L2_POOL_2D", VALID, 2, 1),
    **{f"{name} alone": unary(name) for name in (
        "LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "ELU", "HARD_SWISH", "EXP",
        "SQUARE", "ABS", "NEG",
    )},
    **{f"{name} of positives": unary(name, True) for name in ("LOG", "SQRT", "RSQRT")},
    "leaky relu": lambda n: n.op("LEAKY_RELU", image(n), options="LeakyReluOptions", Alpha=0.2),
    "gelu": lambda n: n.op("GELU", image(n), options="GeluOptions", Approximate=False),
    "prelu": lambda n: n.op("PRELU", image(n), n.const(random(1, 1, 4))),
    "prelu of pixels": lambda n: n.op("PRELU", image(n), n.const(random(7, 9, 4))),
    "prelu of features": lambda n: n.op("PRELU", n.input(2, 6), n.const(random(6))),
    "softmax of pixels": lambda n: n.op("SOFTMAX", image(n), options="SoftmaxOptions", Beta=1.0),
    "softmax beta": lambda n: n.op("SOFTMAX", n.input(2, 6), options="SoftmaxOptions", Beta=0.5),
    "log softmax": lambda n: n.op("LOG_SOFTMAX", n.input(2, 6)),
    "l2 normalisation": lambda n: n.op("L2_NORMALIZATION", image(n), options="L2NormOptions"),
    **{f"{name} of two": binary(name, 0, *IMAGE) for name in ("ADD", "SUB", "MUL")},
    "add relu": binary("ADD", RELU, *IMAGE),
    "mul relu6": binary("MUL", RELU6, 1, 1, 1, 4),
    "sub tanh": binary("SUB", RELU_N1_TO_1, 9, 4),
    "maximum": binary("MAXIMUM", 0, 1, 7, 1, 4, kind="MaximumMinimumOptions"),
    "minimum": binary("MINIMUM", 0, 4, kind="MaximumMinimumOptions"),
    "squared difference": binary("SQUARED_DIFFERENCE", 0, *IMAGE, kind="SquaredDifferenceOptions"),
    "broadcast of the image": lambda n: n.op("ADD", n.input(4, name="v"), image(n)),
    "add a constant": with_const("ADD", 4),
    "divide by a constant": with_const("DIV", 1, 7, 9, 1),
    "divide a constant": lambda n: n.op("DIV", n.const(2.0), n.op("EXP", image(n))),
    "subtract from a constant": with_const("SUB", 9, 4, swapped=True),
    "power": lambda n: n.op("POW", n.op("ABS", image(n)), n.const(1.5)),
    **{f"{name} {axes} {keep}": reduced(name, axes, keep) for name, axes, keep in (
        ("MEAN", [1, 2], False), ("MEAN", [1, 2], True), ("MEAN", [-1], True),
        ("SUM", [3], False), ("SUM", [1], False), ("REDUCE_MAX", [2], True),
        ("REDUCE_MIN", [1, 3], False), ("MEAN", [2], False),
    )},
    "arg max": lambda n: n.op(
        "ARG_MAX", image(n), n.const(3), type="INT64", options="ArgMaxOptions",
        OutputType=4,
    ),
    "arg min": lambda n: n.op(
        "ARG_MIN", image(n), n.const(1), type="INT64", options="ArgMinOptions", OutputType=4
    ),
    "flatten": shaped(1, 252),
    "rows of pixels": shaped(1, 63, 4),
    "split channels": shaped(1, 7, 9, 2, 2),
    "merge rows": shaped(7, 36),
    "new image": shaped(1, 9, 7, 4),
    "boxes": shaped(1, -1, 2),
    "image of features": shaped(1, 2, 3, 4, of=(1, 24)),
    "squeeze": lambda n: n.op(
        "SQUEEZE", image(n, 1, 1, 1, 6), options="SqueezeOptions", SqueezeDims=(1, 2)
    ),
    "squeeze a row": lambda n: n.op("RELU", n.op("SQUEEZE", n.op("RELU", image(n, 1, 1, 5, 6)))),
    "expand": lambda n: n.op("EXPAND_DIMS", n.op("RELU", n.input(2, 6)), n.const(1)),
    "transpose": lambda n: n.op(
        "RELU", n.op("TRANSPOSE", n.op("ABS", image(n)), n.const([0, 2, 1, 3]))
    ),
    "transpose to channels first": lambda n: n.op(
        "SOFTMAX", n.op("TRANSPOSE", n.op("ABS", image(n)), n.const([0, 3, 1, 2])),
        options="SoftmaxOptions", Beta=1.0,
    ),
    "channel shuffle": lambda n: n.op(
        "RELU",
        n.op(
            "RESHAPE",
            n.op("TRANSPOSE", n.op("RESHAPE", image(n), n.const([1, 7, 9, 2, 2])),
                 n.const([0, 1, 2, 4, 3])),
            n.const(list(IMAGE)),
        ),
    ),
    "concat": lambda n: n.op(
        "CONCATENATION", image(n), n.input(*IMAGE, name="y"), n.const(random(1, 7, 9, 1)),
        options="ConcatenationOptions", Axis=3,
    ),
    "concat of rows": lambda n: n.op(
        "CONCATENATION", image(n), n.input(1, 2, 9, 4, name="y"),
        options="ConcatenationOptions", Axis=-3,
    ),
    "split": lambda n: n.op(
        "SPLIT", n.const(3), image(n), options="SplitOptions", NumSplits=2, results=2
    ),
    "split by sizes": lambda n: n.op(
        "SPLIT_V", image(n), n.const([2, -1]), n.const(1), options="SplitVOptions",
        NumSplits=2, results=2,
    ),
    "unpack": lambda n: n.op(
        "UNPACK", image(n), options="UnpackOptions", Num=4, Axis=3, results=4
    ),
    "unpack rows": lambda n: n.op(
        "UNPACK", image(n, 1, 2, 5, 3), options="UnpackOptions", Num=2, Axis=1, results=2
    ),
    "pack": lambda n: n.op(
        "PACK", n.input(2, 5), n.input(2, 5, name="y"), options="PackOptions",
        ValuesCount=2, Axis=1,
    ),
    "slice": lambda n: n.op("SLICE", image(n), n.const([0, 1, 2, 1]), n.const([1, 3, -1, 2])),
    "strided slice": sliced([0, 1, 0, 0], [1, 7, 9, 4], [1, 2, 3, 1]),
    "strided slice masks": sliced(
        [0, 2, -5, 1], [0, 0, -1, 0], [1, 1, 2, 1], BeginMask=1, EndMask=0b1011
    ),
    "strided slice shrinks": sliced(
        [0, 3, 0, -1], [1, 4, 9, 0], [1, 1, 1, 1], BeginMask=0b101, EndMask=0b101,
        ShrinkAxisMask=0b1010,
    ),
    "strided slice ellipsis": sliced(
        [0, 1], [0, 3], [1, 1], EllipsisMask=1,
    ),
    "strided slice new axis": sliced(
        [0, 0, 1], [0, 0, 5], [1, 1, 1], 3, 6, NewAxisMask=1, BeginMask=0b10, EndMask=0b10
    ),
    **{f"{name} {h}x{w} {flags}": resized(name, h, w, **flags)
       for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
       for h, w, flags in (
           (14, 18, {}), (14, 18, {"HalfPixelCenters": True}), (14, 27, {"AlignCorners": True}),
           (5, 20, {}), (5, 20, {"HalfPixelCenters": True}), (3, 13, {"AlignCorners": True}),
    )},
    "strided slice backwards": sliced(
        [0, -1, 2, 0], [1, 0, -10, 4], [1, -2, -1, 1], BeginMask=1, EndMask=1
    ),
    "strided slice of swapped channels": sliced(
        [0, 0], [0, 0], [1, -1], EllipsisMask=1, BeginMask=0b10, EndMask=0b10
    ),
    "reverse": lambda n: n.op("REVERSE_V2", image(n), n.const([2, 3])),
    "local response normalisation": lambda n: n.op(
        "LOCAL_RESPONSE_NORMALIZATION", image(n), options="LocalResponseNormalizationOptions",
        Radius=1, Bias=1.5, Alpha=0.2, Beta=0.75,
    ),
    "l2 normalisation of rows": lambda n: n.op(
        "L2_NORMALIZATION", n.input(2, 3, 5), options="L2NormOptions"
    ),
    "depth to space": lambda n: n.op(
        "DEPTH_TO_SPACE", image(n, 1, 3, 5, 8), options="DepthToSpaceOptions", BlockSize=2
    ),
    "space to depth": lambda n: n.op(
        "SPACE_TO_DEPTH", image(n, 1, 4, 6, 3), options="SpaceToDepthOptions", BlockSize=2
    ),
    "space to batch": lambda n: n.op(
        "SPACE_TO_BATCH_ND", image(n), n.const([2, 3]), n.const([[1, 0], [0, 3]])
    ),
    "batch to space": lambda n: n.op(
        "BATCH_TO_SPACE_ND", image(n, 8, 3, 4, 2), n.const([2, 2]), n.const([[1, 0], [0, 2]])
    ),
    "fully connected": fully_connected(2, 6),
    "fully connected image": fully_connected(1, 3, 4, 2, k=24, act=RELU),
    "fully connected tokens": fully_connected(1, 5, 6, keep=True),
    "fully connected pixels": fully_connected(1, 3, 5, 6, keep=True, act=RELU6),
    "fully connected computed": lambda n: n.op(
        "FULLY_CONNECTED", n.input(2, 6), n.input(5, 6, name="w"), n.const(random(5)),
        options="FullyConnectedOptions", FusedActivationFunction=RELU,
    ),
    "matmul": matmul((2, 3, 4), (2, 4, 5), AdjX=False, AdjY=False),
    "matmul adjoint": matmul((2, 4, 3), (2, 5, 4), AdjX=True, AdjY=True),
    "matmul of a constant": lambda n: n.op(
        "BATCH_MATMUL", n.input(2, 3, 4), n.const(random(4, 5)), options="BatchMatMulOptions"
    ),
    "pad": padded("PAD"),
    "pad with a value": padded("PADV2", -3.0),
    "mirror pad": padded("MIRROR_PAD", Mode=0),
    "mirror pad symmetric": lambda n: n.op(
        "MIRROR_PAD", image(n), n.const([[0, 0], [2, 3], [0, 2], [0, 0]]),
        options="MirrorPadOptions", Mode=1,
    ),
    "mirror pad symmetric by one": lambda n: n.op(
        "MIRROR_PAD", image(n), n.const([[0, 0], [1, 0], [1, 1], [0, 0]]),
        options="MirrorPadOptions", Mode=1,
    ),
    "gather": lambda n: n.op(
        "GATHER", image(n), n.const([2, 3, 0]), options="GatherOptions", Axis=3
    ),
    "gather one": lambda n: n.op("GATHER", image(n), n.const(2), options="GatherOptions", Axis=1),
    "gather a table": lambda n: n.op(
        "GATHER", image(n), n.const([[0, 2], [1, 1]]), options="GatherOptions", Axis=2
    ),
    "tile": lambda n: n.op("TILE", image(n, 1, 2, 3, 4), n.const([1, 2, 1, 3])),
    "broadcast": lambda n: n.op(
        "BROADCAST_TO", n.input(3, 1), n.const([2, 3, 4]), version=2
    ),
    "add many": lambda n: n.op(
        "ADD_N", image(n), n.input(*IMAGE, name="y"), n.input(*IMAGE, name="z")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_op_agrees_with_the_interpreter(agree: Agree, name: str) -> None:
    net = Net()
    results = CASES[name](net)
    agree(net.done(*(results if isinstance(results, list) else [results])))


DATA_STAYS = (
    "conv same", "average pool same", "softmax of pixels", "add a constant",
    "broadcast of the image",
    "MEAN [1, 2] False", "MEAN [1, 2] True", "concat", "split", "split by sizes", "slice",
    "strided slice", "squeeze", "pad", "tile", "gather",
    "fully connected image", "fully connected pixels", "transpose to channels first", "prelu",
    "l2 normalisation", "transpose conv same", "unpack",
)  # fmt: skip


@pytest.mark.parametrize("name", DATA_STAYS)
def test_no_permute_is_left(agree: Agree, name: str) -> None:
    net = Net()
    results = CASES[name](net)
    graph = agree(net.done(*(results if isinstance(results, list) else [results])))
    assert not [op.name for op in graph.ops if isinstance(op, Permute)]


def test_dilated_convolution_written_with_blocks(agree: Agree) -> None:
    net = Net()
    x = image(net, 1, 10, 9, 4)
    spread = net.op("SPACE_TO_BATCH_ND", x, net.const([3, 3]), net.const([[3, 5], [3, 3]]))
    y = conv(net, spread, 6, 3, 3, 4, Padding=VALID, FusedActivationFunction=RELU)
    whole = net.op("BATCH_TO_SPACE_ND", y, net.const([3, 3]), net.const([[0, 2], [0, 0]]))
    graph = agree(net.done(net.op("RELU6", whole)))
    (layer,) = [op for op in graph.ops if isinstance(op, Conv2d)]
    assert (layer.dilation, layer.pads) == ((3, 3), (3, 3, 3, 3))
    assert len(graph.ops) <= 3


def test_blocks_that_are_no_dilated_convolution(agree: Agree) -> None:
    net = Net()
    spread = net.op(
        "SPACE_TO_BATCH_ND", image(net, 1, 8, 8, 4), net.const([2, 2]), net.const([[0, 0], [0, 0]])
    )
    y = conv(net, spread, 4, 3, 3, 4, Padding=SAME)
    agree(net.done(net.op("BATCH_TO_SPACE_ND", y, net.const([2, 2]), net.const([[0, 0], [0, 0]]))))


def test_squeeze_and_excite_needs_no_permute(agree: Agree) -> None:
    net = Net()
    x = image(net)
    mean = net.op("MEAN", x, net.const([1, 2]), options="ReducerOptions", KeepDims=False)
    dense = net.op(
        "FULLY_CONNECTED", mean, net.const(random(4, 4)), options="FullyConnectedOptions"
    )
    gate = net.op("RESHAPE", net.op("LOGISTIC", dense), net.const([1, 1, 1, 4]))
    graph = agree(net.done(net.op("MUL", x, gate)))
    assert not [op for op in graph.ops if isinstance(op, Permute)]


def test_dense_layers_around_an_image_take_its_order(agree: Agree) -> None:
    """Dense, leaky relu, fold, transposed convolution; flatten, relu, dense."""
    net = Net()
    dense = net.op(
        "FULLY_CONNECTED", net.input(1, 6), net.const(random(24, 6)),
        net.const(random(24, seed=4)), options="FullyConnectedOptions",
    )  # fmt: skip
    active = net.op("LEAKY_RELU", dense, options="LeakyReluOptions", Alpha=0.3)
    folded = net.op("RESHAPE", active, net.const([1, 2, 3, 4]))
    y = conv(net, folded, 5, 2, 2, 4, Padding=SAME)
    flat = net.op("RESHAPE", y, net.const([-1, 30]))
    graph = agree(
        net.done(
            net.op(
                "FULLY_CONNECTED", net.op("TANH", flat), net.const(random(3, 30)),
                options="FullyConnectedOptions",
            )
        )
    )  # fmt: skip
    assert not [op for op in graph.ops if isinstance(op, Permute)]


def test_shape_arithmetic_is_folded(agree: Agree) -> None:
    """reshape(x, [shape(x)[0], shape(x)[1] * 9, -1])"""
    net = Net()
    x = image(net)
    shape = net.op("SHAPE", x, type="INT32", options="ShapeOptions", OutType=2)

    def size(at: int) -> int:
        return net.op(  # type: ignore[no-any-return]
            "STRIDED_SLICE", shape, net.const([at]), net.const([at + 1]), net.const([1]),
            options="StridedSliceOptions", ShrinkAxisMask=1, type="INT32",
        )  # fmt: skip

    product = net.op("MUL", size(1), net.const(9), options="MulOptions", type="INT32")
    minus = net.op("NEG", net.const(1), type="INT32")
    wanted = net.op(
        "PACK", size(0), product, minus, options="PackOptions", ValuesCount=3, type="INT32"
    )
    graph = agree(net.done(net.op("RELU", net.op("RESHAPE", x, wanted))))
    assert graph[graph.outputs[0]].type.shape == (1, 63, 4)


def test_model_with_channels_first_is_taken_as_it_is(agree: Agree) -> None:
    """A model that another framework's converter made turns the image itself."""
    net = Net()
    x = net.input(1, 3, 6, 5)
    y = conv(net, net.op("TRANSPOSE", x, net.const([0, 2, 3, 1])), 4, 3, 3, 3, Padding=SAME)
    graph = agree(net.done(net.op("TRANSPOSE", y, net.const([0, 3, 1, 2]))))
    assert graph.inputs[0].type.shape == (1, 3, 6, 5)
    assert [op.kind for op in graph.ops] == ["Input", "Conv2d"]
    assert graph[graph.outputs[0]].type.shape == (1, 4, 6, 5)


def test_float16_weights(agree: Agree) -> None:
    net = Net()
    w = net.op("DEQUANTIZE", net.const(random(4, 3, 3, 2).astype(np.float16)))
    b = net.op("DEQUANTIZE", net.const(random(4).astype(np.float16)))
    x = image(net, 1, 5, 5, 2)
    y = net.op("CONV_2D", x, w, b, options="Conv2DOptions", StrideH=1, StrideW=1)
    agree(net.done(y))


def sequence_conv(net: Net, x: int, dilation: int, width: int) -> int:
    """A causal convolution along [n, w, c], as TensorFlow writes it."""
    left = 2 * dilation
    after = (-(width + left)) % dilation
    spread = net.op("SPACE_TO_BATCH_ND", x, net.const([dilation]), net.const([[left, after]]))
    row = net.op("EXPAND_DIMS", spread, net.const(-3))
    y = conv(net, row, 4, 1, 3, 4, Padding=VALID, FusedActivationFunction=RELU)
    line = net.op("SQUEEZE", y, options="SqueezeOptions", SqueezeDims=(-3,))
    return net.op(  # type: ignore[no-any-return]
        "BATCH_TO_SPACE_ND", line, net.const([dilation]), net.const([[0, after]])
    )


def test_dilated_convolutions_of_a_sequence(agree: Agree) -> None:
    net = Net()
    x = net.input(1, 10, 4)
    y = sequence_conv(net, sequence_conv(net, x, 2, 10), 3, 10)
    graph = agree(net.done(net.op("RELU6", y)))
    convs = [op for op in graph.ops if isinstance(op, Conv2d)]
    assert [(op.dilation, op.pads) for op in convs] == [
        ((1, 2), (0, 4, 0, 0)),
        ((1, 3), (0, 6, 0, 0)),
    ]
    assert sum(isinstance(op, Permute) for op in graph.ops) <= 2  # in and out


def test_tokens_are_turned_once(agree: Agree) -> None:
    """Tokens of an image go to three dense layers and to a sum with one of them."""
    net = Net()
    tokens = net.op("RESHAPE", conv(net, image(net), 6, 3, 3, 4), net.const([1, 63, 6]))
    parts = [
        net.op(
            "FULLY_CONNECTED", tokens, net.const(random(6, 6, seed=i)),
            options="FullyConnectedOptions", KeepNumDims=True,
        )
        for i in range(3)
    ]  # fmt: skip
    total = net.op("ADD_N", tokens, *parts)
    graph = agree(net.done(total))
    assert sum(isinstance(op, Permute) for op in graph.ops) == 1


def lstm(net: Net, *, time_first: bool, projected: bool = False) -> int:
    """5 steps of 2 sequences of 3 numbers, 4 hidden ones."""
    x = net.input(5, 2, 3) if time_first else net.input(2, 5, 3)
    weights = [net.const(random(4, 3, seed=i)) for i in range(4)]
    recurrent = [net.const(random(4, 4, seed=i + 4)) for i in range(4)]
    biases = [net.const(random(4, seed=i + 8)) for i in range(4)]
    projection = [net.const(random(4, 4)) if projected else -1, -1]
    states = [net.tensor(f"state{i}", (2, 4), "FLOAT32", variable=True) for i in range(2)]
    return net.op(  # type: ignore[no-any-return]
        "UNIDIRECTIONAL_SEQUENCE_LSTM", x, *weights, *recurrent, -1, -1, -1, *biases,
        *projection, *states, options="UnidirectionalSequenceLSTMOptions",
        FusedActivationFunction=4, TimeMajor=time_first,
    )  # fmt: skip


@pytest.mark.parametrize("time_first", [True, False])
def test_lstm(agree: Agree, time_first: bool) -> None:
    net = Net()
    y = lstm(net, time_first=time_first)
    graph = agree(net.done(net.op("RELU", y)))
    assert "Lstm" in [op.kind for op in graph.ops]


def test_lstm_with_a_projection_is_refused(tmp_path: Path) -> None:
    net = Net()
    path = net.save(tmp_path / "net.tflite", lstm(net, time_first=True, projected=True))
    with pytest.raises(UnsupportedError) as caught:
        TfliteFrontend().load(path)
    assert caught.value.problems == ("UNIDIRECTIONAL_SEQUENCE_LSTM 't0': has a projection",)
