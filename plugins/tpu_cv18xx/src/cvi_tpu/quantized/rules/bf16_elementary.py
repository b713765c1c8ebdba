"""Seldom functions of one tensor in BF16, to the nearest BF16 number.

Those that bend are products of tables: one pair for each high byte at which they are no power
of two times another one's. Those that jump are arithmetic.
"""

from __future__ import annotations

from cvi.ir import DType
from cvi.ops import Elementary
from cvi.ops.functions import FUNCTIONS
from cvi_tpu.quantized.bf16_tables import Parts, log_tail, products
from cvi_tpu.quantized.ops import (
    Bf16Add,
    Bf16AddConstant,
    Bf16MaxConstant,
    Bf16MinConstant,
    Bf16MulConstant,
    Bf16Sub,
)
from cvi_tpu.quantized.ops.bf16_pool import HUGE
from cvi_tpu.quantized.registry import quantizes
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_functions import limited, split

PERIODIC = 512.0
"""Numbers from here on lie 4 or more apart, more than half a period of the functions of
angles: of which angle they are is not known, and the result is 0."""

LOGARITHMIC = 8.0
"""From here on asinh and acosh are ln(2x) to the nearest BF16 number."""

WHOLE = 128.0
"""BF16 numbers from here on are whole; from half of it on they are halves."""


def tables_of(which: str) -> list[Parts]:
    """The pairs of tables whose products add up to a function that bends."""
    function = FUNCTIONS[which]
    if which in ("sin", "cos", "tan"):
        return products(function, PERIODIC)
    if which in ("asinh", "acosh"):
        tail = log_tail(LOGARITHMIC, odd=which == "asinh")
        return [*products(function, LOGARITHMIC), *tail]
    return products(function)


@quantizes(Elementary, precision=DType.BF16)
def elementary(op: Elementary, to: Rewriter) -> None:
    """A sum of products of tables, a sign, or a whole number."""
    x = to.bf16(op.inputs[0])
    if op.which == "sign":
        chain = Chain(to, op, x)
        _sign(chain)
    elif op.which in ("round", "floor", "ceil"):
        chain = _whole(op, to, x)
    else:
        chain = _sum(op, to, x)
    chain.close()


def _sum(op: Elementary, to: Rewriter, x: Operand) -> Chain:
    """The sum of the products, in turn."""
    terms = []
    for i, tables in enumerate(tables_of(op.which)):
        product = Chain(to, op, x)
        split(product, f"product_{i}", tables)
        terms.append(product.end())
    chain = Chain(to, op, terms[0])
    for i, term in enumerate(terms[1:], 1):
        chain.then(f"sum_{i}", Bf16Add(name="", inputs=("", term.name)))
    return chain


def _sign(chain: Chain) -> None:
    """Append the sign: a number not above 1, made large, and again not above 1."""
    limited(chain, -1.0, 1.0)
    chain.then("large", Bf16MulConstant(name="", inputs=("",), value=HUGE))
    limited(chain, -1.0, 1.0)


def _whole(op: Elementary, to: Rewriter, x: Operand) -> Chain:
    """The whole number nearest to x, half to even; one less if it is above x (floor), one
    more if it is below (ceil).

    Between 128 and 256 only whole numbers are stored: adding 128 to a positive number up to
    that rounds it, and subtracting it again is exact. What that has changed is added to x,
    which may be larger.
    """
    inner = Chain(to, op, x)
    limited(inner, -WHOLE, WHOLE)
    inside = inner.end()
    change = Chain(to, op, _rounded(op, to, inside, WHOLE))
    change.then("whole", Bf16Add(name="", inputs=("", _rounded(op, to, inside, -WHOLE).name)))
    change.then("change", Bf16Sub(name="", inputs=("", inside.name)))
    changed = change.end()
    chain = Chain(to, op, changed)
    chain.then("nearest", Bf16Add(name="", inputs=("", x.name)))
    if op.which != "round":
        excess = Chain(to, op, changed)
        direction = 1.0 if op.which == "floor" else -1.0
        excess.then("large", Bf16MulConstant(name="", inputs=("",), value=direction * HUGE))
        limited(excess, 0.0, 1.0)
        kind = Bf16Sub if op.which == "floor" else Bf16Add
        chain.then(op.which, kind(name="", inputs=("", excess.end().name)))
    return chain


def _rounded(op: Elementary, to: Rewriter, x: Operand, offset: float) -> Operand:
    """The part of x that has the offset's sign, rounded to whole numbers."""
    part = Bf16MaxConstant if offset > 0 else Bf16MinConstant
    chain = Chain(to, op, x)
    chain.then("part", part(name="", inputs=("",), value=0.0))
    chain.then("raised", Bf16AddConstant(name="", inputs=("",), value=offset))
    chain.then("rounded", Bf16AddConstant(name="", inputs=("",), value=-offset))
    return chain.end()
