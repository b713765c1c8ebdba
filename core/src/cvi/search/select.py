"""Choosing how many layers of an order go to BF16, under a budget.

A target is looked for among the prefixes of the order: the first guess comes from the
losses, which about add up, and every guess is measured on the mixed network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cvi.errors import InputError

Measure = Callable[[Sequence[str]], float]
"""Of the network with these layers in BF16."""


@dataclass(frozen=True)
class Target:
    """What the network must reach: measure "cos", the least mean cosine of the outputs to
    FP32, or "drop", the most per cent of images that may be lost against FP32."""

    measure: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """From "cos=0.99" or "drop=0.5"."""
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        good = {"cos": 0 <= value <= 1, "drop": 0 <= value <= 100}
        if not good.get(name.strip(), False):
            raise InputError(
                f"{text!r} is not a target",
                where="--target",
                fix="cos=0.99 (cosine to FP32) or drop=0.5 (per cent of labelled images lost)",
            )
        return cls(name.strip(), value)

    @property
    def least(self) -> float:
        """What the measure must reach."""
        return self.value if self.measure == "cos" else -self.value


@dataclass(frozen=True)
class Selection:
    """layers: in BF16, in order. reached: the measure with these. measured: by
    number of layers, what each guess gave."""

    layers: tuple[str, ...]
    reached: float
    measured: Mapping[int, float]


def within_slowdown(order: Sequence[str], cost: Measure, most: float) -> int:
    """How many layers of an order may be in BF16 so that the cost is at most `most` times
    that of none. The cost is taken to grow with the layers; found by bisection."""
    base = cost(())
    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        fits = cost(order[:middle]) <= most * base
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def best_of(order: Sequence[str], measure: Measure) -> Selection:
    """All layers of an order, half of them, or none: whichever measures best, and of equals
    the fewest layers.

    A layer in BF16 between layers in INT8 can cost more at its borders than it gains: values
    are rounded to BF16 and to INT8 there.
    """
    counts = sorted({0, len(order) // 2, len(order)})
    measured = {count: measure(order[:count]) for count in counts}
    best = max(counts, key=lambda count: (measured[count], -count))
    return Selection(tuple(order[:best]), measured[best], measured)


def until(
    order: Sequence[str], losses: Mapping[str, float], measure: Measure, least: float
) -> Selection:
    """The fewest layers of an order with which `measure` reaches `least`. losses: what each
    layer takes away, those before it in BF16.

    The measure is taken to grow with the layers, as it does but for chance. When all of
    them do not reach it, the best of what was measured is chosen, and `reached` tells.
    """
    measured: dict[int, float] = {}

    def reaches(count: int) -> bool:
        if count not in measured:
            measured[count] = measure(order[:count])
        return measured[count] >= least

    if reaches(0):
        return Selection((), measured[0], measured)
    low, high, first = 0, len(order), _guess(order, losses)
    if not reaches(high):
        best = max(measured, key=lambda count: (measured[count], -count))
        return Selection(tuple(order[:best]), measured[best], measured)
    while high - low > 1:
        middle = min(max(first, low + 1), high - 1) if first else (low + high) // 2
        first = 0
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return Selection(tuple(order[:high]), measured[high], measured)


def _guess(order: Sequence[str], losses: Mapping[str, float]) -> int:
    """How many layers hold nine tenths of all loss."""
    total, seen = sum(losses.values()), 0.0
    for count, name in enumerate(order, 1):
        seen += losses[name]
        if seen >= 0.9 * total:
            return count
    return len(order)
