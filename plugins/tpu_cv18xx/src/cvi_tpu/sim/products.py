"""Exact integer matrix products through floating-point BLAS."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cvi.ir.types import Array

EXACT = 1 << 24
"""Integers up to this magnitude are exact in fp32, and so are sums whose partial sums
stay below it."""


def product(left: Array, right: Array, *, weights: Array, largest: int) -> npt.NDArray[np.int32]:
    """left (M, K) @ right (K, N), integers held in fp32, exact modulo 2^32.

    weights: the operand, (rows, K), whose absolute row sums bound the result; largest:
    bound of the other operand's magnitude. Where a sum could leave fp32's exact range, K
    is cut into chunks that cannot.
    """
    depth = left.shape[1]
    step = EXACT // (255 * largest)
    if depth <= step or _row_sum(weights) * largest <= EXACT:
        return (left @ right).astype(np.int32)
    total: npt.NDArray[np.int32] = np.zeros((left.shape[0], right.shape[1]), np.int32)
    for k in range(0, depth, step):
        total += (left[:, k : k + step] @ right[k : k + step]).astype(np.int32)
    return total


def _row_sum(weights: Array) -> int:
    """Largest sum of absolute values over a row."""
    return int(np.abs(weights).sum(axis=1, dtype=np.float64).max())
