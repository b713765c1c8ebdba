"""A map from byte addresses to numbers, stored as runs of equal values."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class IntervalMap:
    """Numbers for all addresses from 0 on; 0 until something is assigned."""

    __slots__ = ("_starts", "_values")

    def __init__(self) -> None:
        self._starts = [0]
        self._values = [0]

    def assign(self, start: int, end: int, value: int) -> None:
        """Set all of [start, end) to `value`; the range must not be empty."""
        starts, values = self._starts, self._values
        first = bisect_left(starts, start)
        last = bisect_left(starts, end, first)
        if last < len(starts) and starts[last] == end:
            starts[first:last] = [start]
            values[first:last] = [value]
        else:
            after = values[last - 1]
            starts[first:last] = [start, end]
            values[first:last] = [value, after]

    def highest(self, start: int, end: int) -> int:
        """The largest number in [start, end); the range must not be empty."""
        starts = self._starts
        first = bisect_right(starts, start) - 1
        return max(self._values[first : bisect_left(starts, end, first + 1)])
