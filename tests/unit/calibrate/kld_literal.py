"""FACTS_TOOLCHAIN 5.1 step by step, with loops and scalars: slow, and meant to be so."""

from __future__ import annotations

import numpy as np

F = np.float32


def histogram(values: np.ndarray, bins: int) -> tuple[list[int], float]:
    """Step 3: counts of |x|, zeros excluded, and the bin width."""
    absmax = float(np.abs(values).max())
    width = absmax / (bins - 1)
    counts = [0] * bins
    for value in np.abs(values.astype(np.float64)).ravel():
        if value != 0:
            counts[int(np.floor(value / width + 0.5))] += 1
    return counts, width


def divergence(counts: list[int], i: int) -> np.float32:
    """Step 4 for one candidate of i bins."""
    count = F(sum(counts))
    p = [F(counts[j]) / count for j in range(i)]
    p[i - 1] = F(sum(counts[i - 1 :])) / count
    q = [F(0)] * i
    inside = F(sum(counts[:i]))
    size = i // 128
    for group in range(128):
        members = range(group * size, (group + 1) * size)
        filled = [j for j in members if counts[j] != 0]
        total = sum(counts[j] for j in members)
        for j in filled:
            q[j] = F(F(total) / len(filled)) / inside
    result = F(0)
    for j in range(i):
        result = result + p[j] * (np.log10(p[j] + F(1e-30)) - np.log10(q[j] + F(1e-30)))
    return result


def threshold(counts: list[int], width: float) -> float:
    """The first minimum over i = 128, 256, ..., as a threshold."""
    best, best_m = None, 0
    for m, i in enumerate(range(128, len(counts) + 1, 128)):
        value = divergence(counts, i)
        if best is None or value < best:
            best, best_m = value, m
    return width * (best_m + 1) * 128
