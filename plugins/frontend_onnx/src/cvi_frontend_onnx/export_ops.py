"""How each float op of the IR is written in ONNX, opset 20."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cvi import ops
from cvi.ir import Op
from cvi_frontend_onnx.exporter import Writer, clamp, exports

_FLOAT, _INT64 = 1, 7
"""Element types in ONNX."""


# -- one node without attributes ---------------------------------------------

_SAME_NAME = (
    ops.Abs, ops.Add, ops.Div, ops.Erf, ops.HardSwish, ops.Log, ops.MatMul, ops.Max, ops.Min,
    ops.Mish, ops.Mul, ops.Neg, ops.Reciprocal, ops.Sqrt, ops.Sub, ops.Tanh,
)  # fmt: skip


@exports(*_SAME_NAME)
def same_name(writer: Writer, op: Op) -> None:
    """Binary in both; sums and products of many operands are written as chains."""
    first, *others = _weighted(writer, op)
    if op.kind not in ("Add", "Mul") or len(others) < 2:
        writer.last(op.kind, [first, *others], op)
        return
    for i, other in enumerate(others[:-1]):
        first = writer.node(op.kind, [first, other], f"~{op.name}~{i}")
    writer.last(op.kind, [first, others[-1]], op)


def _weighted(writer: Writer, op: Op) -> list[str]:
    """The operands, those of a weighted sum times their coefficients."""
    if not isinstance(op, ops.Add) or not op.coefficients:
        return list(op.inputs)
    terms = []
    for i, (x, factor) in enumerate(zip(op.inputs, op.coefficients, strict=True)):
        scalar = writer.scalar(op, f"coefficient{i}", factor)
        terms.append(writer.node("Mul", [x, scalar], f"~{op.name}~term{i}"))
    return terms


# -- activations --------------------------------------------------------------


@exports(ops.Relu)
def relu(writer: Writer, op: ops.Relu) -> None:
    clamp(writer, op, op.inputs[0], op.maximum)


@exports(ops.Clip)
def clip(writer: Writer, op: ops.Clip) -> None:
    limits = [writer.scalar(op, "low", op.minimum), writer.scalar(op, "high", op.maximum)]
    writer.node("Clip", [*op.inputs, *limits], op.name)


@exports(ops.LeakyRelu)
def leaky_relu(writer: Writer, op: ops.LeakyRelu) -> None:
    writer.node("LeakyRelu", op.inputs, op.name, alpha=op.slope)


@exports(ops.PRelu)
def prelu(writer: Writer, op: ops.PRelu) -> None:
    writer.node("PRelu", [op.inputs[0], writer.vector(op, 1)], op.name)


@exports(ops.Elu)
def elu(writer: Writer, op: ops.Elu) -> None:
    writer.node("Elu", op.inputs, op.name, alpha=op.alpha)


@exports(ops.HardSigmoid)
def hard_sigmoid(writer: Writer, op: ops.HardSigmoid) -> None:
    writer.node("HardSigmoid", op.inputs, op.name, alpha=op.alpha, beta=op.beta)


@exports(ops.Gelu)
def gelu(writer: Writer, op: ops.Gelu) -> None:
    form = "tanh" if op.approximate else "none"
    writer.node("Gelu", op.inputs, op.name, approximate=form)


@exports(ops.Elementary)
def elementary(writer: Writer, op: ops.Elementary) -> None:
    writer.node(op.which.capitalize(), op.inputs, op.name)


@exports(ops.Compare)
def compare(writer: Writer, op: ops.Compare) -> None:
    kind = {
        "equal": "Equal",
        "less": "Less",
        "less_equal": "LessOrEqual",
        "greater": "Greater",
        "greater_equal": "GreaterOrEqual",
    }[op.which]
    operands = [*op.inputs, writer.scalar(op, "value", op.value)]
    found = writer.node(kind, operands, f"~{op.name}~found")
    writer.node("Cast", [found], op.name, to=1)


@exports(ops.Shrink)
def shrink(writer: Writer, op: ops.Shrink) -> None:
    writer.node("Shrink", op.inputs, op.name, lambd=op.threshold, bias=op.bias)


@exports(ops.ThresholdedRelu)
def thresholded_relu(writer: Writer, op: ops.ThresholdedRelu) -> None:
    writer.node("ThresholdedRelu", op.inputs, op.name, alpha=op.threshold)


@exports(ops.Pow)
def power(writer: Writer, op: ops.Pow) -> None:
    writer.node("Pow", [*op.inputs, writer.scalar(op, "exponent", op.exponent)], op.name)


@exports(ops.Swish)
def swish(writer: Writer, op: ops.Swish) -> None:
    (x,) = op.inputs
    gate = writer.node("Sigmoid", [x], f"~{op.name}~sigmoid")
    writer.node("Mul", [x, gate], op.name)


@exports(ops.Sigmoid, ops.Exp, ops.Softplus)
def scaled_unary(writer: Writer, op: ops.Sigmoid | ops.Exp | ops.Softplus) -> None:
    """scale * function(x) + bias."""
    if op.scale == 1.0 and op.bias == 0.0:
        writer.node(op.kind, op.inputs, op.name)
        return
    y = writer.node(op.kind, op.inputs, f"~{op.name}~plain")
    scaled = writer.node("Mul", [y, writer.scalar(op, "scale", op.scale)], f"~{op.name}~scaled")
    writer.node("Add", [scaled, writer.scalar(op, "bias", op.bias)], op.name)


# -- convolutions and products -------------------------------------------------


@exports(ops.Conv2d)
def conv(writer: Writer, op: ops.Conv2d) -> None:
    x, *others = op.inputs
    pads = op.pads
    if op.pad_value and any(pads):
        x = _padded(writer, op, x)
        pads = (0, 0, 0, 0)
    writer.last(
        "Conv",
        [x, *filter(None, others)],
        op,
        strides=op.stride,
        pads=pads,
        dilations=op.dilation,
        group=op.group,
    )


def _padded(writer: Writer, op: ops.Conv2d, x: str) -> str:
    top, left, bottom, right = op.pads
    widths = writer.integers(op, "pads", (0, 0, top, left, 0, 0, bottom, right))
    value = writer.scalar(op, "pad_value", op.pad_value)
    return writer.node("Pad", [x, widths, value], f"~{op.name}~padded")


@exports(ops.ConvTranspose2d)
def conv_transpose(writer: Writer, op: ops.ConvTranspose2d) -> None:
    writer.last(
        "ConvTranspose",
        [name for name in op.inputs if name],
        op,
        strides=op.stride,
        pads=op.pads,
        dilations=op.dilation,
        output_padding=op.output_padding,
        group=op.group,
    )


@exports(ops.FullyConnected)
def fully_connected(writer: Writer, op: ops.FullyConnected) -> None:
    x, weight, *bias = (name for name in op.inputs if name)
    if _rank(writer, x) == 2:
        writer.last("Gemm", [x, weight, *bias], op, transB=1)
        return
    turned = writer.node("Transpose", [weight], f"~{op.name}~turned", perm=(1, 0))
    if not bias:
        writer.last("MatMul", [x, turned], op)
        return
    product = writer.node("MatMul", [x, turned], f"~{op.name}~product")
    writer.last("Add", [product, *bias], op)


# -- per channel ----------------------------------------------------------------


@exports(ops.BatchNorm)
def batch_norm(writer: Writer, op: ops.BatchNorm) -> None:
    writer.node("BatchNormalization", op.inputs, op.name, epsilon=op.eps)


@exports(ops.Scale)
def scale(writer: Writer, op: ops.Scale) -> None:
    x, factors = op.inputs[0], writer.vector(op, 1)
    if len(op.inputs) < 3 or not op.inputs[2]:
        writer.last("Mul", [x, factors], op)
        return
    product = writer.node("Mul", [x, factors], f"~{op.name}~product")
    writer.last("Add", [product, writer.vector(op, 2)], op)


@exports(ops.LayerNorm)
def layer_norm(writer: Writer, op: ops.LayerNorm) -> None:
    x, gamma, beta = (*op.inputs, "", "")[:3]
    if not gamma:
        shape = writer.graph.type_of(x).shape[op.axis :]
        gamma = writer.constant(op, "gamma", np.ones(shape, np.float32))
    operands = [x, gamma, *filter(None, [beta])]
    writer.node("LayerNormalization", operands, op.name, axis=op.axis, epsilon=op.eps)


@exports(ops.Softmax)
def softmax(writer: Writer, op: ops.Softmax) -> None:
    kind = "LogSoftmax" if op.log else "Softmax"
    writer.node(kind, op.inputs, op.name, axis=op.axis)


@exports(ops.Reduce)
def reduce_(writer: Writer, op: ops.Reduce) -> None:
    kind = {
        "mean": "ReduceMean",
        "max": "ReduceMax",
        "min": "ReduceMin",
        "sum": "ReduceSum",
        "l2": "ReduceL2",
    }[op.method]
    axes = writer.integers(op, "axes", op.axes)
    writer.node(kind, [*op.inputs, axes], op.name, keepdims=int(op.keepdims))


@exports(ops.Std)
def std(writer: Writer, op: ops.Std) -> None:
    """The root of the sum of squared deviations by n less the correction."""
    (x,) = op.inputs
    axes = writer.integers(op, "axes", op.axes)
    mean = writer.node("ReduceMean", [x, axes], f"~{op.name}~mean")
    centred = writer.node("Sub", [x, mean], f"~{op.name}~centred")
    square = writer.node("Mul", [centred, centred], f"~{op.name}~square")
    total = writer.node("ReduceSum", [square, axes], f"~{op.name}~sum", keepdims=int(op.keepdims))
    shape = writer.graph.type_of(x).shape
    freedom = math.prod(shape[i] for i in op.axes) - op.correction
    variance = writer.node(
        "Div", [total, writer.scalar(op, "freedom", freedom)], f"~{op.name}~variance"
    )
    writer.node("Sqrt", [variance], op.name)


# -- normalisation ---------------------------------------------------------------


@exports(ops.Lrn)
def lrn(writer: Writer, op: ops.Lrn) -> None:
    """onnxruntime's LRN wants four dims and an odd size."""
    (x,) = op.inputs
    if _rank(writer, x) == 4 and op.size % 2:
        writer.node("LRN", [x], op.name, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)
        return
    power = _square_power(writer, op, op.power, f"~{op.name}~power")
    writer.node("Mul", [x, power], op.name)


@exports(ops.SquarePower)
def square_power(writer: Writer, op: ops.SquarePower) -> None:
    _square_power(writer, op, op, op.name)


def _square_power(writer: Writer, op: Op, power: ops.SquarePower, name: str) -> str:
    """The power of the sum over the layer's operand, as a tensor of that name."""
    x = op.inputs[0]
    square = writer.node("Mul", [x, x], f"~{op.name}~square")
    if power.size:
        total = _channel_sums(writer, op, square, power.size)
    else:
        axes = writer.integers(op, "channels", [1])
        total = writer.node("ReduceSum", [square, axes], f"~{op.name}~sums")
    scaled = writer.node(
        "Mul", [total, writer.scalar(op, "scale", power.scale)], f"~{op.name}~scaled"
    )
    base = writer.node("Add", [scaled, writer.scalar(op, "shift", power.shift)], f"~{op.name}~base")
    return writer.node("Pow", [base, writer.scalar(op, "exponent", power.exponent)], name)


def _channel_sums(writer: Writer, op: Op, square: str, size: int) -> str:
    """Sums over some channels: a convolution along axis 1 with ones."""
    n, c, *_ = shape = writer.graph.type_of(op.inputs[0]).shape
    rows = writer.integers(op, "rows", (n, 1, c, -1))
    image = writer.node("Reshape", [square, rows], f"~{op.name}~image")
    ones = writer.constant(op, "ones", np.ones((1, 1, size, 1), np.float32))
    before = (size - 1) // 2
    pads = (before, 0, size - 1 - before, 0)
    sums = writer.node("Conv", [image, ones], f"~{op.name}~windows", pads=pads)
    return writer.node("Reshape", [sums, writer.integers(op, "shape", shape)], f"~{op.name}~sums")


@exports(ops.Normalize)
def normalize(writer: Writer, op: ops.Normalize) -> None:
    x = op.inputs[0]
    axes = range(1, _rank(writer, x)) if op.across_spatial else [1]
    square = writer.node("Mul", [x, x], f"~{op.name}~square")
    axes_name = writer.integers(op, "axes", list(axes))
    total = writer.node("ReduceSum", [square, axes_name], f"~{op.name}~sum")
    shifted = writer.node("Add", [total, writer.scalar(op, "eps", op.eps)], f"~{op.name}~shifted")
    norm = writer.node("Sqrt", [shifted], f"~{op.name}~norm")
    unit = writer.node("Div", [x, norm], f"~{op.name}~unit")
    writer.node("Mul", [unit, writer.vector(op, 1)], op.name)


@exports(ops.InstanceNorm)
def instance_norm(writer: Writer, op: ops.InstanceNorm) -> None:
    writer.node("InstanceNormalization", op.inputs, op.name, epsilon=op.eps)


@exports(ops.ArgMax)
def argmax(writer: Writer, op: ops.ArgMax) -> None:
    index = f"~{op.name}~index"
    writer.node("ArgMax", op.inputs, index, axis=op.axis, keepdims=int(op.keepdims))
    writer.node("Cast", [index], op.name, to=_FLOAT)


@exports(ops.Embedding)
def embedding(writer: Writer, op: ops.Embedding) -> None:
    indices, table = op.inputs
    whole = writer.node("Cast", [indices], f"~{op.name}~indices", to=_INT64)
    writer.node("Gather", [table, whole], op.name, axis=0)


# -- pooling and resizing ---------------------------------------------------------


@exports(ops.MaxPool2d)
def max_pool(writer: Writer, op: ops.MaxPool2d) -> None:
    """Padding of a kernel's size or more is written as a Pad with minus infinity."""
    (x,), pads = op.inputs, op.pads
    if _wide(pads, op.kernel):
        x, pads = _pool_padded(writer, op, x, pads, -np.inf), (0, 0, 0, 0)
    writer.node(
        "MaxPool",
        [x],
        op.name,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=pads,
        dilations=op.dilation,
    )


@exports(ops.PoolMask)
def pool_mask(writer: Writer, op: ops.PoolMask) -> None:
    """Ones put back to where a MaxPool found the maxima, in whole blocks; then cut."""
    shape = writer.graph.type_of(op.inputs[0]).shape
    rows, columns = (-(-n // size) for n, size in zip(shape[2:], op.size, strict=True))
    lower, right = rows * op.size[0] - shape[2], columns * op.size[1] - shape[3]
    x = _pool_padded(writer, op, op.inputs[0], (0, 0, lower, right), -np.inf)
    windows: dict[str, Any] = {"kernel_shape": op.size, "strides": op.size}
    indices = f"~{op.name}~indices"
    writer.node("MaxPool", [x], f"~{op.name}~maxima", second=indices, **windows)
    ones = writer.constant(op, "ones", np.ones((*shape[:2], rows, columns), np.float32))
    whole = writer.node("MaxUnpool", [ones, indices], f"~{op.name}~whole", **windows)
    bounds = (writer.integers(op, label, v) for label, v in (("start", [0] * 4), ("end", shape)))
    writer.node("Slice", [whole, *bounds], op.name)


def _wide(pads: tuple[int, ...], kernel: tuple[int, int]) -> bool:
    return any(pad >= kernel[i % 2] for i, pad in enumerate(pads))


def _pool_padded(writer: Writer, op: Op, x: str, pads: tuple[int, ...], value: float) -> str:
    top, left, bottom, right = pads
    widths = writer.integers(op, "pads", (0, 0, top, left, 0, 0, bottom, right))
    return writer.node("Pad", [x, widths, writer.scalar(op, "low", value)], f"~{op.name}~padded")


@exports(ops.AvgPool2d)
def average_pool(writer: Writer, op: ops.AvgPool2d) -> None:
    """Windows that reach into rows of ceil_mode have divisors of their own.

    Then the mean over the zero-padded tensor is multiplied by a constant map: the
    window's size over its divisor.
    """
    if not any(op.ceil_pads) and not _wide(op.pads, op.kernel):
        writer.last(
            "AveragePool",
            op.inputs,
            op,
            kernel_shape=op.kernel,
            strides=op.stride,
            pads=op.pads,
            count_include_pad=int(op.count_include_pad),
        )
        return
    padded = _pool_padded(writer, op, op.inputs[0], op.pads, 0.0)
    mean = writer.node(
        "AveragePool", [padded], f"~{op.name}~mean", kernel_shape=op.kernel, strides=op.stride
    )
    shape = writer.graph.type_of(op.inputs[0]).shape
    ones = np.ones((1, 1, *shape[2:]), np.float32)
    wanted = op.with_(relu=False).evaluate(ones)
    plain = op.with_(relu=False, count_include_pad=True, ceil_pads=(0, 0)).evaluate(ones)
    ratio = np.divide(wanted, plain, out=np.zeros_like(wanted), where=plain != 0)
    writer.last("Mul", [mean, writer.constant(op, "ratio", ratio)], op)


@exports(ops.Resize)
def resize(writer: Writer, op: ops.Resize) -> None:
    """By scales when they count and give the size exactly, else by sizes.

    With corners aligned only the sizes count; onnx and onnxruntime round scales differently.
    """
    n, c, h, w = writer.graph.type_of(op.inputs[0]).shape
    attributes = {
        "mode": op.mode,
        "coordinate_transformation_mode": op.coordinates,
        "nearest_mode": op.nearest_mode,
    }
    scales = np.array([1, 1, *op.scales], np.float32)
    sizes = tuple(int(np.floor(np.float32(s) * f)) for s, f in zip((h, w), scales[2:], strict=True))
    if sizes == op.size and op.coordinates != "align_corners":
        operands = [*op.inputs, "", writer.constant(op, "scales", scales)]
    else:
        operands = [*op.inputs, "", "", writer.integers(op, "sizes", (n, c, *op.size))]
    writer.node("Resize", operands, op.name, **attributes)


@exports(ops.Upsample)
def upsample(writer: Writer, op: ops.Upsample) -> None:
    scales = writer.constant(op, "scales", np.array([1, 1, *op.factors], np.float32))
    writer.node(
        "Resize",
        [*op.inputs, "", scales],
        op.name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


# -- movement ------------------------------------------------------------------------


@exports(ops.Reshape)
def reshape(writer: Writer, op: ops.Reshape) -> None:
    writer.node("Reshape", [*op.inputs, writer.integers(op, "shape", op.shape)], op.name)


@exports(ops.Permute)
def permute(writer: Writer, op: ops.Permute) -> None:
    writer.node("Transpose", op.inputs, op.name, perm=op.order)


@exports(ops.Concat)
def concat(writer: Writer, op: ops.Concat) -> None:
    writer.last("Concat", op.inputs, op, axis=op.axis)


@exports(ops.Slice)
def slice_(writer: Writer, op: ops.Slice) -> None:
    ends = [s + (n - 1) * k + 1 for s, n, k in zip(op.starts, op.sizes, op.steps, strict=True)]
    bounds = {"starts": op.starts, "ends": ends, "axes": range(len(ends)), "steps": op.steps}
    names = [writer.integers(op, label, list(values)) for label, values in bounds.items()]
    writer.node("Slice", [*op.inputs, *names], op.name)


@exports(ops.Reverse)
def reverse(writer: Writer, op: ops.Reverse) -> None:
    """A Slice that goes backwards from the last element to before the first."""
    bounds = {"starts": -1, "ends": -(2**31), "axes": op.axis, "steps": -1}
    names = [writer.integers(op, label, [value]) for label, value in bounds.items()]
    writer.node("Slice", [*op.inputs, *names], op.name)


@exports(ops.Pad)
def pad(writer: Writer, op: ops.Pad) -> None:
    widths = writer.integers(op, "pads", (*op.before, *op.after))
    value = writer.constant(op, "value", np.array(op.value, op.type.dtype.numpy))
    writer.node("Pad", [*op.inputs, widths, value], op.name, mode=op.mode)


@exports(ops.PixelShuffle)
def pixel_shuffle(writer: Writer, op: ops.PixelShuffle) -> None:
    writer.node("DepthToSpace", op.inputs, op.name, blocksize=op.factor, mode=op.mode)


@exports(ops.Tile)
def tile(writer: Writer, op: ops.Tile) -> None:
    writer.node("Tile", [*op.inputs, writer.integers(op, "repeats", op.repeats)], op.name)


def _rank(writer: Writer, name: str) -> int:
    return len(writer.graph.type_of(name).shape)
