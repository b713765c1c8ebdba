"""Whether a program computes what its quantised graph says, to the bit."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, DType, Graph


def same(graph: Graph, name: str, array: Array, expected: Array) -> bool:
    """Equal values; fp32 within one unit in the last place (DECISIONS, CPU functions)."""
    if array.size != expected.size:
        return False
    a, b = array.reshape(-1), expected.reshape(-1)
    if graph.type_of(name).dtype is not DType.FP32:
        return a.dtype == b.dtype and bool(np.array_equal(a, b))
    with np.errstate(invalid="ignore"):  # infinities, which a == b decides
        close = np.abs(a - b) <= np.spacing(np.maximum(np.abs(a), np.abs(b)))
    return bool(np.all(close | (a == b) | (np.isnan(a) & np.isnan(b))))


def difference(array: Array, expected: Array) -> str:
    """Where two arrays differ first, and in how many elements."""
    if array.size != expected.size:
        return f"shape {list(array.shape)} instead of {list(expected.shape)}"
    if array.dtype != expected.dtype:
        return f"type {array.dtype} instead of {expected.dtype}"
    wrong = np.flatnonzero(array.reshape(-1) != expected.reshape(-1))
    at = tuple(int(i) for i in np.unravel_index(int(wrong[0]), expected.shape))
    first = f"{array.reshape(-1)[wrong[0]]} instead of {expected.reshape(-1)[wrong[0]]} at {at}"
    return f"{len(wrong)} of {array.size} elements differ, the first is {first}"
