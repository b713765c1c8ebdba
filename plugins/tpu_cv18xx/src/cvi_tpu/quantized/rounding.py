"""Whether each weight of a filter is rounded up or down, so that the results change least.

Rounding a weight vector w to q adds e'x to the result for a patch x of the input, e = q - w:
in the mean square e'He, where H is the mean of xx'. To nearest makes e small, but what counts
is e'He, in which errors of weights that see alike inputs can cancel. From the nearest integers
on, the weight whose other neighbour lowers e'He most is moved there, until none does.

H and the weights are taken as integers of so few bits that every sum is exact in fp64: the
order in which a library adds them does not matter, and the same images give the same weights.
"""

from __future__ import annotations

import numpy as np

from cvi.ir import Array

_GRAM_BITS = 22
_WEIGHT_BITS = 12
_BLOCK = 1 << 17  # elements of rows that are searched together; a few arrays of it per step


def least_error(steps: Array, gram: Array) -> Array:
    """The rounding of steps fp64[g, o, k], o filters of k weights in each of g groups, in
    steps of the result's integers and within int8: int8[g, o, k].

    gram: fp64[g, k, k], the mean products of what two weights see. Every weight becomes one
    of its two neighbours. The error of no filter exceeds that of rounding to nearest, but for
    what gram and steps lose as integers of 22 and 12 bits.
    """
    groups, filters, size = steps.shape
    whole = _as_integers(gram)
    nearest = np.rint(steps)
    error = nearest - steps
    moves = np.where(error > 0, -1.0, np.where(error < 0, 1.0, 0.0))
    error = np.rint(np.ldexp(error, _WEIGHT_BITS))
    own = np.ldexp(np.einsum("gkk->gk", whole), _WEIGHT_BITS)
    costs = 2 * moves * np.matmul(error, whole) + own[:, None]
    costs[moves == 0] = np.inf
    found = nearest.reshape(-1, size)
    costs, moves = costs.reshape(found.shape), moves.reshape(found.shape)
    group = np.repeat(np.arange(groups), filters)
    block = max(1, _BLOCK // max(size, 1))
    for first in range(0, len(found), block):
        rows = slice(first, first + block)
        _descend(found[rows], costs[rows], moves[rows], group[rows], whole)
    return found.reshape(steps.shape).astype(np.int8)


def _as_integers(gram: Array) -> Array:
    """The matrix of every group times a power of two that brings its largest element below
    2^22, rounded."""
    _, exponents = np.frexp(np.abs(gram).max(axis=(1, 2), initial=0))
    whole: Array = np.rint(np.ldexp(gram, (_GRAM_BITS - exponents)[:, None, None]))
    return whole


def _descend(found: Array, costs: Array, moves: Array, group: Array, gram: Array) -> None:
    """Move the weights of the rows found[r, k] in place, in every row one at a time.

    costs: what a move adds to the error, up to a factor. moves: +1 or -1 to the other
    neighbour. All of them are overwritten. Every move lowers an integer error, so this ends.
    """
    active = np.arange(len(found))
    while len(active):
        best = costs[active].argmin(axis=1)
        gains = costs[active, best] < 0
        active, best = active[gains], best[gains]
        step, cost = moves[active, best], costs[active, best]
        found[active, best] += step
        seen = gram[group[active], best] * np.ldexp(step, _WEIGHT_BITS + 1)[:, None]
        costs[active] += moves[active] * seen
        costs[active, best] = -cost
        moves[active, best] = -step
