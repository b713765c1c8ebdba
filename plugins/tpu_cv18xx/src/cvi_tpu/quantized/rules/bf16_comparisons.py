"""Comparisons of a tensor with a number in BF16, and what is made of them.

A number is compared by its two bytes, which is exact: 1 or 0, also where it is equal to the
BF16 number nearest to the one it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cvi.ir import Array, DType, Op
from cvi.ops import Compare, Shrink, ThresholdedRelu
from cvi.ops.functions import COMPARISONS
from cvi_tpu.quantized.bf16 import nearest
from cvi_tpu.quantized.bf16_tables import truth
from cvi_tpu.quantized.ops import Bf16Add, Bf16AddConstant, Bf16Mul
from cvi_tpu.quantized.registry import quantizes
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_functions import limited, split
from cvi_tpu.quantized.rules.pool import LARGEST_NUMBER

Condition = Callable[[Array], Array]


def indicate(chain: Chain, holds: Condition) -> None:
    """Append 1 where a condition on a number holds and 0 elsewhere."""
    split(chain, "decided", truth(holds), added=True)
    limited(chain, 0.0, 1.0)


def stored_number(value: float) -> float:
    """The finite BF16 number nearest to a real one or to an infinity."""
    return nearest(min(max(value, -LARGEST_NUMBER), LARGEST_NUMBER))


@quantizes(Compare, precision=DType.BF16)
def comparison(op: Compare, to: Rewriter) -> None:
    """An indicator."""
    number, compare = stored_number(op.value), COMPARISONS[op.which]
    chain = Chain(to, op, to.bf16(op.inputs[0]))
    indicate(chain, lambda x: np.asarray(compare(x, number)))
    chain.close()


@quantizes(ThresholdedRelu, precision=DType.BF16)
def thresholded_relu(op: ThresholdedRelu, to: Rewriter) -> None:
    """x times 1 above the threshold and 0 elsewhere."""
    x, threshold = to.bf16(op.inputs[0]), stored_number(op.threshold)
    _kept(op, to, x, "kept", lambda x: x > threshold).close()


@quantizes(Shrink, precision=DType.BF16)
def shrink(op: Shrink, to: Rewriter) -> None:
    """x - bias where x is above the threshold and x + bias where it is below its negative,
    each times its indicator: one of the two is 0. One product without a bias."""
    x, threshold = to.bf16(op.inputs[0]), stored_number(op.threshold)
    if not op.bias:
        chain = _kept(op, to, x, "kept", lambda x: (x > threshold) | (x < -threshold))
    else:
        above = _moved(op, to, x, -op.bias, "above")
        below = _moved(op, to, x, op.bias, "below")
        other = _kept(op, to, below, "lower", lambda x: (x < -threshold) & (x <= threshold), x)
        chain = _kept(op, to, above, "upper", lambda x: x > threshold, x)
        chain.then("sum", Bf16Add(name="", inputs=("", other.end().name)))
    chain.close()


def _moved(op: Shrink, to: Rewriter, x: Operand, bias: float, label: str) -> Operand:
    """x plus a number."""
    name = to.fresh(op.name, label)
    return to.add(Bf16AddConstant(name=name, inputs=(x.name,), value=bias))


def _kept(
    op: Op, to: Rewriter, x: Operand, label: str, holds: Condition, judged: Operand | None = None
) -> Chain:
    """x where a condition on it (or on what is judged instead) holds, else 0."""
    chain = Chain(to, op, judged or x)
    indicate(chain, holds)
    chain.then(label, Bf16Mul(name="", inputs=("", x.name)))
    return chain
