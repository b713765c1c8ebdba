"""Functions of one tensor in BF16: arithmetic where it is exact, tables elsewhere.

Ranges are powers of two, so that scaling an operand to cells is exact; what a function is
outside of its range is told with each.
"""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import Array, DType
from cvi.ops import (
    Abs,
    Clip,
    Elu,
    Erf,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    Mish,
    Neg,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Sigmoid,
    Softplus,
    Sqrt,
    Swish,
    Tanh,
)
from cvi_tpu.quantized.bf16_tables import Function, Lines, Parts, lines, logarithm, power
from cvi_tpu.quantized.ops import (
    Bf16Add,
    Bf16AddConstant,
    Bf16Interpolate,
    Bf16Max,
    Bf16MaxConstant,
    Bf16Min,
    Bf16MinConstant,
    Bf16Mul,
    Bf16MulConstant,
    Bf16Split,
)
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import clamp_bf16, convolve_bf16
from cvi_tpu.quantized.rules.conv import constants_of, filter_is_constant
from cvi_tpu.quantized.rules.dense import as_image
from cvi_tpu.quantized.rules.filters import Window

requires(PRelu, precision=DType.BF16)(filter_is_constant)


def interpolated(chain: Chain, suffix: str, table: Lines, *, gated: bool = False) -> None:
    """Append a function by straight lines, times its operand if gated."""
    to, name = chain.to, chain.layer.name
    inputs = ("", to.store(name, "base", table.base), to.store(name, "slope", table.slope))
    op = Bf16Interpolate(
        name="", inputs=inputs, scale=table.scale, offset=table.offset, gated=gated
    )
    chain.then(suffix, op)


def split(chain: Chain, suffix: str, parts: Parts, *, added: bool = False) -> None:
    """Append a function by the tables of the two bytes."""
    to, name = chain.to, chain.layer.name
    inputs = ("", to.store(name, "upper", parts.upper), to.store(name, "lower", parts.lower))
    chain.then(suffix, Bf16Split(name="", inputs=inputs, added=added))


def limited(chain: Chain, low: float, high: float) -> None:
    """Append the limits of a range."""
    chain.then("above", Bf16MaxConstant(name="", inputs=("",), value=low))
    chain.then("below", Bf16MinConstant(name="", inputs=("",), value=high))


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-x)))


def normal(x: Array) -> Array:
    """The part of a normal distribution below x."""
    values = [0.5 + 0.5 * math.erf(one / math.sqrt(2)) for one in x.tolist()]
    return np.array(values)


def _tanh_normal(x: Array) -> Array:
    """The usual approximation of `normal`."""
    return np.asarray(0.5 + 0.5 * np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _mish_gate(x: Array) -> Array:
    return np.asarray(np.tanh(np.log1p(np.exp(x))))


@quantizes(Relu, precision=DType.BF16)
def relu(op: Relu, to: Rewriter) -> None:
    """The larger of x and 0, and at most the maximum."""
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    chain.then("positive", Bf16MaxConstant(name="", inputs=("",), value=0.0))
    clamp_bf16(chain, op.maximum)
    chain.close()


@quantizes(Clip, precision=DType.BF16)
def clip(op: Clip, to: Rewriter) -> None:
    """At least the minimum, then at most the maximum."""
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    chain.then("raised", Bf16MaxConstant(name="", inputs=("",), value=op.minimum))
    chain.then("clipped", Bf16MinConstant(name="", inputs=("",), value=op.maximum))
    chain.close()


@quantizes(Neg, precision=DType.BF16)
def negative(op: Neg, to: Rewriter) -> None:
    """x * -1, which is exact."""
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    chain.then("negative", Bf16MulConstant(name="", inputs=("",), value=-1.0))
    chain.close()


@quantizes(Abs, precision=DType.BF16)
def absolute(op: Abs, to: Rewriter) -> None:
    """The larger of -x and x, which is exact."""
    x = to.bf16(op.inputs[0])
    chain = Chain(to, op, x)
    chain.then("negative", Bf16MulConstant(name="", inputs=("",), value=-1.0))
    chain.then("absolute", Bf16Max(name="", inputs=("", x.name)))
    chain.close()


@quantizes(LeakyRelu, precision=DType.BF16)
def leaky_relu(op: LeakyRelu, to: Rewriter) -> None:
    """The larger of slope * x and x; the smaller for a slope above 1."""
    x = to.bf16(op.inputs[0])
    chain = Chain(to, op, x)
    chain.then("sloped", Bf16MulConstant(name="", inputs=("",), value=op.slope))
    kind = Bf16Max if op.slope <= 1 else Bf16Min
    chain.then("leaky", kind(name="", inputs=("", x.name)))
    chain.close()


@quantizes(PRelu, precision=DType.BF16)
def prelu(op: PRelu, to: Rewriter) -> None:
    """The negative part times its slopes, and the positive part added: one of them is 0."""
    x = to.bf16(op.inputs[0])
    slopes, _ = constants_of(op, to)
    positive = _part(x, op.name, to, Bf16MaxConstant)
    chain = Chain(to, op, x)
    chain.then("negative", Bf16MinConstant(name="", inputs=("",), value=0.0))
    chain.reshape("image", as_image(x.shape))
    convolve_bf16(chain, Window(group=len(slopes)), slopes.reshape(-1, 1, 1, 1), None)
    chain.reshape("sloped", x.shape)
    chain.then("sum", Bf16Add(name="", inputs=("", positive.name)))
    chain.close()


def _part(
    x: Operand, layer: str, to: Rewriter, kind: type[Bf16MaxConstant] | type[Bf16MinConstant]
) -> Operand:
    """The positive or the negative part of x."""
    label = "positive" if kind is Bf16MaxConstant else "negative"
    return to.add(kind(name=to.fresh(layer, label), inputs=(x.name,), value=0.0))


@quantizes(Elu, precision=DType.BF16)
def elu(op: Elu, to: Rewriter) -> None:
    """alpha * (exp(x) - 1) below 0, by lines down to -16, and the positive part added."""
    x = to.bf16(op.inputs[0])
    positive = _part(x, op.name, to, Bf16MaxConstant)
    chain = Chain(to, op, x)
    table = lines(
        lambda v: op.alpha * np.expm1(v), 16, below_zero=True, low=-op.alpha
    )  # fmt: skip
    chain.then("negative", Bf16MinConstant(name="", inputs=("",), value=0.0))
    interpolated(chain, "curve", table)
    chain.then("sum", Bf16Add(name="", inputs=("", positive.name)))
    chain.close()


@quantizes(HardSigmoid, precision=DType.BF16)
def hard_sigmoid(op: HardSigmoid, to: Rewriter) -> None:
    """A line between 0 and 1."""
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    _limited_line(chain, op.alpha, op.beta)
    chain.close()


@quantizes(HardSwish, precision=DType.BF16)
def hard_swish(op: HardSwish, to: Rewriter) -> None:
    """x times a line between 0 and 1."""
    x = to.bf16(op.inputs[0])
    chain = Chain(to, op, x)
    _limited_line(chain, 1 / 6, 0.5)
    chain.then("product", Bf16Mul(name="", inputs=("", x.name)))
    chain.close()


def _limited_line(chain: Chain, slope: float, start: float) -> None:
    chain.then("slope", Bf16MulConstant(name="", inputs=("",), value=slope))
    chain.then("line", Bf16AddConstant(name="", inputs=("",), value=start))
    limited(chain, 0.0, 1.0)


@quantizes(Sigmoid, Tanh, Erf, Exp, Softplus, precision=DType.BF16)
def curve(op: Sigmoid | Tanh | Erf | Exp | Softplus, to: Rewriter) -> None:
    """Lines on a range and the limits of the function outside; exp and softplus go on as
    the last line above."""
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    interpolated(chain, "curve", curve_of(op))
    chain.close()


def curve_of(op: Sigmoid | Tanh | Erf | Exp | Softplus) -> Lines:
    """The table of a function."""
    if isinstance(op, Sigmoid):
        return lines(op.function, 16, low=op.bias, high=op.scale + op.bias)
    if isinstance(op, (Exp, Softplus)):
        return lines(op.function, 16, low=op.bias)
    return lines(op.function, 4 if isinstance(op, Erf) else 8, low=-1.0, high=1.0)


_GATES: dict[type[Swish] | type[Mish], Function] = {Swish: logistic, Mish: _mish_gate}


def _gate(op: Swish | Mish | Gelu) -> Function:
    if isinstance(op, Gelu):
        return _tanh_normal if op.approximate else normal
    return _GATES[type(op)]


@quantizes(Swish, Mish, Gelu, precision=DType.BF16)
def gated(op: Swish | Mish | Gelu, to: Rewriter) -> None:
    """x times a function with the limits 0 and 1, by lines: so that small results keep their
    precision."""
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    table = lines(_gate(op), 8 if isinstance(op, Gelu) else 16, low=0.0, high=1.0)
    interpolated(chain, "gated", table, gated=True)
    chain.close()


@quantizes(Reciprocal, Sqrt, Pow, precision=DType.BF16)
def powers(op: Reciprocal | Sqrt | Pow, to: Rewriter) -> None:
    """Products of powers of the two bytes of a number; the square is a product."""
    x = to.bf16(op.inputs[0])
    chain = Chain(to, op, x)
    exponent = exponent_of(op)
    if exponent == 2:
        chain.then("square", Bf16Mul(name="", inputs=("", x.name)))
    else:
        split(chain, "power", power(exponent))
    chain.close()


def exponent_of(op: Reciprocal | Sqrt | Pow) -> float:
    """The power that an op takes."""
    if isinstance(op, Pow):
        return op.exponent
    return 0.5 if isinstance(op, Sqrt) else -1.0


@quantizes(Log, precision=DType.BF16)
def log(op: Log, to: Rewriter) -> None:
    """The sum of the logarithms of the two bytes of a number."""
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    split(chain, "log", logarithm(), added=True)
    chain.close()
