"""Sums of squares, exact although a square of int8 has 14 bits; instance normalisation."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, Graph
from cvi.ops import Concat, InstanceNorm, Reshape, Slice, SquareSum
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import CpuFunction, Int8Conv2d, Int8Lut
from cvi_tpu.quantized.ops.cpu import FILE_DIMS
from cvi_tpu.quantized.ops.unary import BYTES
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.dense import as_image
from cvi_tpu.quantized.scales import STEPS, rate


@quantizes(SquareSum)
def square_sum(op: SquareSum, to: Rewriter) -> None:
    """Two tables give a square as 127 * high + low; a convolution of single pixels with the
    weights 127 and 1 adds them up in 32 bits, and only the sum is rounded.

    A step of the result is never less than that of a square, as QDM only divides.
    """
    x = _image(op, to)
    unit = x.scale**2
    scale = max(to.scale(op.name), unit * (1 + 2.0**-30))
    high, low = np.divmod(np.minimum(np.abs(BYTES.astype(np.int32)), STEPS) ** 2, STEPS)
    halves = [
        _half(op, to, x, name, table.astype(np.int8), step)
        for name, table, step in (("high", high, unit * STEPS), ("low", low, unit))
    ]
    chain = Chain(to, op, halves[0])
    chain.then("squares", Concat(name="", inputs=("", halves[1].name), axis=1))
    band = op.band(x.shape[1])
    weight = np.concatenate([band * np.int8(STEPS), band], axis=1)[:, :, None, None]
    multiplier, shift = rate(unit / scale)
    constants = {
        "weight": weight,
        "multiplier": np.full(len(band), multiplier, np.uint32),
        "shift": np.full(len(band), shift, np.uint8),
    }
    weights, *rates = (to.store(op.name, name, array) for name, array in constants.items())
    conv = Int8Conv2d(name="", inputs=("", weights, "", *rates), out_scale=scale)
    chain.then("conv", conv)
    chain.reshape("shape", op.type.shape)
    chain.close()


def _image(op: SquareSum, to: Rewriter) -> Operand:
    """The operand as [n, c, h, w]."""
    x = to.int8(op.inputs[0])
    shape = as_image(x.shape)
    if shape == x.shape:
        return x
    return to.add(Reshape(name=to.fresh(op.name, "image"), inputs=(x.name,), shape=shape))


def _half(
    op: SquareSum, to: Rewriter, x: Operand, name: str, table: Array, scale: float
) -> Operand:
    stored = to.store(op.name, f"{name}_table", table)
    lookup = Int8Lut(name=to.fresh(op.name, name), inputs=(x.name, stored), out_scale=scale)
    return to.add(lookup)


@quantizes(InstanceNorm)
def instance_norm(op: InstanceNorm, to: Rewriter) -> None:
    """A call of the runtime's function for every image: it normalises all images by the
    statistics of the last one (FACTS_CVIMODEL 6, found by trying)."""
    x = to.fp32(op.inputs[0])
    n, *image = op.type.shape
    if n == 1:
        to.define_fp32(_normalised(op, to, x).with_(name=op.name, source=op.source))
        return
    parts = []
    for i in range(n):
        taken = Slice(
            name=to.fresh(op.name, f"image_{i}"), inputs=(x,), starts=(i, *(0 for _ in image)),
            sizes=(1, *image), steps=(1,) * (1 + len(image)),
        )  # fmt: skip
        call = _normalised(op, to, to.graph.add(taken).name)
        parts.append(to.graph.add(call.with_(name=to.fresh(op.name, f"normalised_{i}"))).name)
    to.define_fp32(Concat(name=op.name, inputs=tuple(parts), axis=0, source=op.source))


def _normalised(op: InstanceNorm, to: Rewriter, x: str) -> CpuFunction:
    """The call for one image, still without a name."""
    constants = [to.constant(name) for name in op.inputs[1:]]
    gamma, beta = (
        to.store(op.name, label, array)
        for label, array in zip(("gamma", "beta"), constants, strict=True)
        if array is not None
    )
    return CpuFunction(
        name="", inputs=(x, gamma, beta), function="instance_norm", shape=(1, *op.type.shape[1:]),
        arguments=(("variance_epsilon", float(op.eps)),),
    )  # fmt: skip


@requires(InstanceNorm)
def is_plain(op: InstanceNorm, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's function is wrong unless gamma is 1, and beta belongs to what follows

    simplify the network first, which puts them into a layer of their own; they must be
    constants
    """
    gamma, beta = (graph.constants.get(name) for name in op.inputs[1:])
    known = gamma is not None and beta is not None
    return known and bool(np.all(gamma == 1)) and not np.any(beta)


@requires(InstanceNorm)
def runtime_has_functions(op: InstanceNorm, graph: Graph, spec: ChipSpec) -> bool:
    """the chip's runtime has no CPU functions, and INT8 has no instance normalisation

    train the network with batch normalisation, which is folded into the weights
    """
    return spec.has_cpu_functions


@requires(InstanceNorm)
def few_enough_dims(op: InstanceNorm, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's function takes tensors of at most 4 dimensions

    reshape the tensor around the layer
    """
    return len(op.type.shape) <= FILE_DIMS
