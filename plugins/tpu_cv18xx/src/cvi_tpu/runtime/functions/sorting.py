"""Sorting as the C++ library of the vendor's runtime does: equal scores included.

`std::sort` and `std::partial_sort` leave the order of equal elements to the implementation,
and dequantised scores are often equal. Both the host's and the boards' runtime are built
with libstdc++, whose algorithms are: introsort (median of three, insertion sort below 17
elements, heap sort when the recursion is too deep), and heap select.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi.ir.types import Array

_SMALL = 16


def sorted_descending(scores: Array) -> Array:
    """The positions of the scores from the largest down, as `std::sort` leaves them."""
    if _distinct(scores):
        return np.argsort(-scores, kind="stable")
    sorter = _Sorter(scores.tolist())
    sorter.sort()
    return np.array(sorter.order, np.int64)


def largest_descending(scores: Array, count: int) -> Array:
    """The positions of the `count` largest, as `std::partial_sort` leaves them."""
    if _distinct(scores):
        return np.argsort(-scores, kind="stable")[:count]
    sorter = _Sorter(scores.tolist())
    sorter.partial_sort(0, count, len(scores))
    return np.array(sorter.order[:count], np.int64)


def _distinct(scores: Array) -> bool:
    return bool(np.unique(scores).size == scores.size)


class _Sorter:
    """A list of positions that is put in descending order of their scores."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = scores
        self.order = list(range(len(scores)))

    def _before(self, a: int, b: int) -> bool:
        """Whether position a comes before position b."""
        return self.scores[a] > self.scores[b]

    def sort(self) -> None:
        n = len(self.order)
        if n < 2:
            return
        self._introsort(0, n, 2 * (n.bit_length() - 1))
        self._insertion(0, min(n, _SMALL), guarded=True)
        self._insertion(_SMALL, n, guarded=False)

    def _introsort(self, first: int, last: int, depth: int) -> None:
        while last - first > _SMALL:
            if depth == 0:
                self.partial_sort(first, last, last)
                return
            depth -= 1
            self._median_to(first, first + 1, first + (last - first) // 2, last - 1)
            cut = self._partition(first + 1, last, first)
            self._introsort(cut, last, depth)
            last = cut

    def _median_to(self, target: int, a: int, b: int, c: int) -> None:
        x, y, z = (self.order[i] for i in (a, b, c))
        if self._before(x, y):
            chosen = b if self._before(y, z) else c if self._before(x, z) else a
        else:
            chosen = a if self._before(x, z) else c if self._before(y, z) else b
        self._swap(target, chosen)

    def _swap(self, a: int, b: int) -> None:
        self.order[a], self.order[b] = self.order[b], self.order[a]

    def _partition(self, first: int, last: int, pivot: int) -> int:
        middle = self.order[pivot]
        while True:
            while self._before(self.order[first], middle):
                first += 1
            last -= 1
            while self._before(middle, self.order[last]):
                last -= 1
            if first >= last:
                return first
            self._swap(first, last)
            first += 1

    def _insertion(self, first: int, last: int, *, guarded: bool) -> None:
        """Insertion sort; guarded: nothing in front of `first` belongs to it."""
        for i in range(first, last):
            item, j = self.order[i], i
            while (j > first or not guarded) and self._before(item, self.order[j - 1]):
                self.order[j] = self.order[j - 1]
                j -= 1
            self.order[j] = item

    def partial_sort(self, first: int, middle: int, last: int) -> None:
        """The best of [first, last) to [first, middle), in order."""
        size = middle - first
        if size == 0:
            return
        for parent in range((size - 2) // 2, -1, -1):
            self._sift(first, parent, size, self.order[first + parent])
        for i in range(middle, last):
            if self._before(self.order[i], self.order[first]):
                item, self.order[i] = self.order[i], self.order[first]
                self._sift(first, 0, size, item)
        for end in range(size - 1, 0, -1):
            item, self.order[first + end] = self.order[first + end], self.order[first]
            self._sift(first, 0, end, item)

    def _sift(self, first: int, hole: int, size: int, item: int) -> None:
        """Fill the hole from below, then let `item` rise from the bottom."""
        top, child = hole, hole
        while child < (size - 1) // 2:
            child = 2 * child + 2
            if self._before(self.order[first + child], self.order[first + child - 1]):
                child -= 1
            self.order[first + hole] = self.order[first + child]
            hole = child
        if size % 2 == 0 and child == (size - 2) // 2:
            child = 2 * child + 1
            self.order[first + hole] = self.order[first + child]
            hole = child
        parent = (hole - 1) // 2
        while hole > top and self._before(self.order[first + parent], item):
            self.order[first + hole] = self.order[first + parent]
            hole, parent = parent, (parent - 1) // 2
        self.order[first + hole] = item
