"""The op in INT8: its exact integer meaning, and how a float blend becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from acme_op.blend import AcmeBlend
from cvi.ir import Array, TensorType
from cvi.ops.check import Types, require
from cvi_tpu.quantized.ops.eltwise import Int8Eltwise
from cvi_tpu.quantized.requantise import round_shift, saturate
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter

STEPS = 127
"""Steps of a scale; also what the mask has where it is 1."""


@dataclass(frozen=True, kw_only=True)
class Int8AcmeBlend(Int8Eltwise):
    """floor((127 * b + m * (a - b)) / 128 + 1/2), where m = max(mask, 0).

    Three int8 tensors of one rank that broadcast: a and b of one scale s, the mask of scale
    1/127. The result is a blend in steps of s * 128 / 127, for it is divided by 128.
    """

    most: ClassVar[int] = 3

    def infer(self, inputs: Types) -> TensorType:
        require(self, len(inputs) == 3, "blends a and b by a mask")
        return super().infer(inputs)

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b, m = (np.asarray(x, np.int32) for x in inputs)
        return saturate(round_shift(STEPS * b + np.maximum(m, 0) * (a - b), 7))


def quantise_blend(op: AcmeBlend, to: Rewriter) -> None:
    """The blend at a scale that holds both images, then a change to the result's scale."""
    first, second, mask = op.inputs
    y_scale = to.scale(op.name)
    scale = max(y_scale * STEPS / (STEPS + 1), _scale(first, to), _scale(second, to))
    a, b = _operand(op, to, first, scale, "a"), _operand(op, to, second, scale, "b")
    m = _operand(op, to, mask, 1 / STEPS, "mask")
    chain = Chain(to, op, a)
    blended = scale * (STEPS + 1) / STEPS
    chain.then("blended", Int8AcmeBlend(name="", inputs=("", b.name, m.name), out_scale=blended))
    chain.rescale(blended, y_scale)
    chain.close()


def _scale(name: str, to: Rewriter) -> float:
    """The step in which a tensor or a constant loses nothing."""
    values = to.constant(name)
    return to.int8(name).scale if values is None else float(np.abs(values).max()) / STEPS


def _operand(op: AcmeBlend, to: Rewriter, name: str, scale: float, label: str) -> Operand:
    """The int8 form of an input in steps of `scale`, with the rank of the result."""
    x = to.int8_at(name, scale, op.name, f"{label}_requant")
    return to.ranked(x, len(op.type.shape), op.name, label)
