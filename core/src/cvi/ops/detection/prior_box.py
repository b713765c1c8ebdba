"""The prior boxes of SSD: a constant that the layer PriorBox stands for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi.ir import Array

_SQUARE = 1e-6
"""Aspect ratios closer to 1 add no box: the square one is there already."""


def prior_boxes(
    *,
    feature: tuple[int, int],
    image: tuple[int, int],
    min_sizes: Sequence[float],
    max_sizes: Sequence[float] = (),
    aspect_ratios: Sequence[float] = (),
    variances: Sequence[float] = (0.1,),
    step: tuple[float, float],
    offset: float = 0.5,
    clip: bool = False,
) -> Array:
    """Corner boxes relative to the image, and their variances: fp32 [1, 2, h * w * p * 4].

    feature, image, step: (height, width) in cells, pixels, pixels per cell. Boxes of a cell
    (FACTS_TOOLCHAIN 3.7): per min size the square of that size, the square of the geometric
    mean with its max size, one per aspect ratio (flipped ones must be in the list). Sizes may
    be fractions. variances: one for all, or four.
    """
    sides = np.array(_sides(min_sizes, max_sizes, aspect_ratios)).reshape(-1, 2)
    rows, columns = (
        (np.arange(cells) + offset) * pixels for cells, pixels in zip(feature, step, strict=True)
    )
    centre = np.stack(np.meshgrid(columns, rows), axis=-1)[:, :, None]
    corners = np.concatenate([centre - sides / 2, centre + sides / 2], axis=-1)
    corners = corners / np.array([image[1], image[0]] * 2)
    if clip:
        corners = np.clip(corners, 0, 1)
    spread = np.broadcast_to(np.array(variances, np.float64), corners.shape)
    return np.stack([corners.ravel(), spread.ravel()]).astype(np.float32)[None]


def _sides(
    min_sizes: Sequence[float], max_sizes: Sequence[float], aspect_ratios: Sequence[float]
) -> list[tuple[float, float]]:
    """Width and height of the boxes of one cell."""
    sides = []
    for i, small in enumerate(min_sizes):
        sides.append((small, small))
        if max_sizes:
            middle = float(np.sqrt(small * max_sizes[i]))
            sides.append((middle, middle))
        for root in (float(np.sqrt(r)) for r in aspect_ratios if abs(r - 1) >= _SQUARE):
            sides.append((small * root, small / root))
    return sides
