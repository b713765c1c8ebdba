"""Reductions."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op


@dataclass(frozen=True, kw_only=True)
class Reduce(Op):
    """Reduction over `axes` (non-negative, sorted). method: mean, max, min, sum, l2."""

    method: str
    axes: tuple[int, ...]
    keepdims: bool = True
