"""Whether each weight of a filter is rounded up or down, so that the results change least.

Rounding a weight vector w to q adds e'x to the result for a patch x of the input, e = q - w:
in the mean square e'He, where H is the mean of xx'. To nearest makes e small, but what counts
is e'He, in which errors of weights that see alike inputs can cancel. From the nearest numbers
on, the weight whose other neighbour lowers e'He most is moved there, until none does.

H and the errors are taken as integers of so few bits that every sum is exact in fp64: the
order in which a library adds them does not matter, and the same images give the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array

_GRAM_BITS = 22
_ERROR_BITS = 12
_BLOCK = 1 << 17  # elements of rows that are searched together; a few arrays of it per step


@dataclass(frozen=True)
class Roundings:
    """Weights [...] and the two numbers each may become; all fp64.

    The distance of the two is a power of two, 0 for a weight that needs no rounding.
    """

    weights: Array
    nearest: Array
    other: Array

    def reshape(self, *shape: int) -> Roundings:
        """The same of another shape."""
        arrays = (self.weights, self.nearest, self.other)
        return Roundings(*(array.reshape(shape) for array in arrays))


def least_error(these: Roundings, gram: Array) -> Array:
    """The rounding fp64[g, o, k] of o filters of k weights in each of g groups.

    gram: fp64[g, k, k], the mean products of what two weights see; it is overwritten. Every
    weight becomes one of its two neighbours. The error of no filter exceeds that of rounding to
    nearest, but for what gram and errors lose as integers of 22 and 12 bits (of the filter's
    largest distance of two neighbours).
    """
    groups, filters, size = these.weights.shape
    _make_integers(gram)
    moves = these.other - these.nearest
    _, exponents = np.frexp(np.abs(moves).max(axis=2, initial=0))
    bits = (_ERROR_BITS + 1 - exponents)[:, :, None]  # the largest distance is 2^12
    moves = np.rint(np.ldexp(moves, bits))
    error = np.rint(np.ldexp(these.nearest - these.weights, bits))
    own = np.einsum("gkk->gk", gram)[:, None]
    costs = moves * (2 * np.matmul(error, gram) + moves * own)
    costs[moves == 0] = np.inf
    moved = np.zeros((groups * filters, size), bool)
    costs, moves = costs.reshape(moved.shape), moves.reshape(moved.shape)
    group = np.repeat(np.arange(groups), filters)
    block = max(1, _BLOCK // max(size, 1))
    for first in range(0, len(moved), block):
        rows = slice(first, first + block)
        _descend(moved[rows], costs[rows], moves[rows], group[rows], gram)
    return np.where(moved.reshape(these.weights.shape), these.other, these.nearest)


def _make_integers(gram: Array) -> None:
    """Multiply the matrix of every group by a power of two that brings its largest element below
    2^22, and round."""
    largest = np.maximum(gram.max(axis=(1, 2), initial=0), -gram.min(axis=(1, 2), initial=0))
    _, exponents = np.frexp(largest)
    np.ldexp(gram, (_GRAM_BITS - exponents)[:, None, None], out=gram)
    np.rint(gram, out=gram)


def _descend(moved: Array, costs: Array, moves: Array, group: Array, gram: Array) -> None:
    """Say which weights of the rows moved[r, k] go to their other neighbour; in every row one
    at a time.

    costs: what a move adds to the error. moves: to the other neighbour, powers of two of
    either sign, so that the costs, multiples of these, are exact. All of them are overwritten.
    Every move lowers an integer error, so this ends.
    """
    active = np.arange(len(moved))
    while len(active):
        best = costs[active].argmin(axis=1)
        gains = costs[active, best] < 0
        active, best = active[gains], best[gains]
        step, cost = moves[active, best], costs[active, best]
        moved[active, best] ^= True
        seen = gram[group[active], best] * (2 * step)[:, None]
        costs[active] += moves[active] * seen
        costs[active, best] = -cost
        moves[active, best] = -step
