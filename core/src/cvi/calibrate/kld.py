"""The threshold of least Kullback-Leibler divergence (FACTS_TOOLCHAIN 5.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cvi.errors import InputError
from cvi.ir import Array

LEVELS = 128
"""Quantisation levels of |x|, and the step in which thresholds are tried, in bins."""

_TINY = np.float32(1e-30)
Floats = npt.NDArray[np.float32]


def check_bins(bins: int) -> None:
    """InputError unless `bins` can be split into groups for every candidate."""
    if bins < LEVELS or bins % LEVELS or bins > 1 << 17:
        raise InputError(
            f"a histogram of {bins} bins is not possible",
            where="--histogram-bin-num",
            fix=f"a multiple of {LEVELS} up to 131072; the usual number is 2048",
        )


def kld_threshold(histogram: Array, width: float) -> float:
    """Threshold in real units for a histogram of |x|.

    histogram: int[bins], bin j holds the non-zero |x| around j * width; not all zero.
    The candidates are width * 128 * k; the first of least divergence wins. As in the
    reference the largest can exceed the absolute maximum by one bin width at most.
    """
    return width * LEVELS * (int(np.argmin(divergences(histogram))) + 1)


def divergences(histogram: Array) -> Floats:
    """Divergence of clipping at 128, 256, ... bins: fp32[bins / 128].

    Computed in fp32 and summed from the first bin to the last, as the reference does.
    """
    check_bins(len(histogram))
    counts = histogram.astype(np.int64)
    total = np.float32(counts.sum())
    p = counts.astype(np.float32) / total
    log_p = np.log10(p + _TINY)
    beyond = counts[::-1].cumsum()[::-1]
    sizes = range(LEVELS, len(counts) + 1, LEVELS)
    out = np.empty(len(sizes), np.float32)
    for k, n in enumerate(sizes):
        log_q = np.log10(_spread(counts[:n]) + _TINY)
        terms = p[:n] * (log_p[:n] - log_q)
        last = np.float32(beyond[n - 1]) / total
        terms[-1] = last * (np.log10(last + _TINY) - log_q[-1])
        out[k] = np.add.accumulate(terms)[-1]
    return out


def _spread(counts: npt.NDArray[np.int64]) -> Floats:
    """The distribution after 128 levels: every non-zero bin gets its group's mean, fp32[n]."""
    groups = counts.reshape(LEVELS, -1)
    filled = groups != 0
    mean = groups.sum(axis=1).astype(np.float32) / np.maximum(filled.sum(axis=1), 1)
    share = mean.astype(np.float32) / np.float32(max(int(counts.sum()), 1))
    spread: Floats = np.where(filled, share[:, None], np.float32(0)).reshape(-1)
    return spread
