"""The quantised ops. Integers in, integers out; scales only describe their meaning.

QDM(acc, m, s) is the requantisation of FACTS_TPU 3.3: h = floor((acc*m + 2^30) / 2^31),
then |h| shifted right by s with rounding half away from zero. All results saturate to
[-128, 127]. Movement ops (`cvi.ops.movement`) serve integer tensors unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Int8Op(Op):
    """Base of the quantised ops that run on the TPU with an INT8 result.

    out_scale: real value of one step of the result; becomes `type.scale`.
    """

    out_scale: float


@dataclass(frozen=True, kw_only=True)
class Int8Conv2d(Int8Op):
    """Convolution with per-channel requantisation; also depthwise and transposed.

    inputs: x int8[n,ic,h,w], weight int8[oc,ic/group,kh,kw], bias int32[oc] or "",
    multiplier uint32[oc] (below 2^31), shift uint8[oc] (0..31).
    result = sat8(relu(QDM(sum + bias, m, s))), sum in int32 with wrap-around.
    insert: rows, columns of zeros between input pixels (a transposed convolution with
    its filter turned round); pads (top, left, bottom, right) filled with `fill`.
    """

    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    insert: Pair = (0, 0)
    group: int = 1
    fill: int = 0
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Int8MaxPool2d(Int8Op):
    """Maximum over windows; padding is -128 and so never wins."""

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Int8AvgPool2d(Int8Op):
    """Window sums with exact divisors: sat8(relu(QDM(weight * sum, m, s))).

    rates: (count, weight, multiplier, shift) for every number of counted elements a window
    can have (FACTS_TPU 3.6: realised as a depthwise convolution with a constant weight
    1..127). Which elements count is as in cvi.ops.AvgPool2d.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    ceil_pads: Pair = (0, 0)
    count_include_pad: bool = False
    rates: tuple[tuple[int, int, int, int], ...] = ()
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Int8Add(Int8Op):
    """sat8(relu(floor(sum(multipliers[i] * x[i]) / 2^shift + 1/2))).

    Two or more int8 operands of broadcastable shapes, all of one rank; multipliers are
    in [-128, 127], a negative one subtracts; shift in 0..15. The partial sums before the
    last operand must fit int16 (sum of |multipliers| over them <= 255).
    """

    multipliers: tuple[int, ...]
    shift: int
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Int8Mul(Int8Op):
    """sat8(relu(QDM(a * b, multiplier, shift))); the operands broadcast, one rank."""

    multiplier: int
    shift: int
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Int8Max(Int8Op):
    """Maximum of two int8 operands of one scale; they broadcast."""


@dataclass(frozen=True, kw_only=True)
class Int8Min(Int8Op):
    """Minimum of two int8 operands of one scale; they broadcast."""


@dataclass(frozen=True, kw_only=True)
class Int8Requant(Int8Op):
    """Change of scale: sat8(relu(QDM(x * weight, multiplier, shift))), weight 1..127."""

    weight: int
    multiplier: int
    shift: int
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Int8Clip(Int8Op):
    """x limited to the integers [minimum, maximum]; the scale stays."""

    minimum: int
    maximum: int


@dataclass(frozen=True, kw_only=True)
class Int8Lut(Int8Op):
    """table[byte]: inputs x int8, table int8[256] indexed by the unsigned byte of x."""


@dataclass(frozen=True, kw_only=True)
class Quantize(Op):
    """fp32 to int8 on the CPU: round half away from zero of x * scale, saturated.

    `scale` is steps per real unit, applied in fp32 (FACTS_CVIMODEL 6, function quant).
    """

    scale: float


@dataclass(frozen=True, kw_only=True)
class Dequantize(Op):
    """int8 to fp32 on the CPU: x * scale in fp32 (FACTS_CVIMODEL 6, function quant)."""

    scale: float
