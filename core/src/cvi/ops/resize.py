"""Resizing of feature maps that is not a whole-factor nearest upsampling."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op


@dataclass(frozen=True, kw_only=True)
class Resize(Op):
    """x[n,c,h,w] to [n,c,*size].

    mode: nearest or linear. coordinates: half_pixel, pytorch_half_pixel, align_corners,
    asymmetric. nearest_mode: round_prefer_floor, round_prefer_ceil, floor, ceil.
    scales: the factors the source coordinates are computed with (size/input unless the
    model gives its own).
    """

    size: tuple[int, int]
    scales: tuple[float, float]
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
