"""Pooling of regions by maximum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, floats, operands, positive, rank, require


@dataclass(frozen=True, kw_only=True)
class RoiPooling(Op):
    """The maximum in each of ph x pw bins of every region: [R, C, ph, pw]; 0 in empty bins.

    Inputs: features [N, C, h, w]; regions (image, x1, y1, x2, y2), R in all, in any shape
    whose last dimension is 5. Corners times spatial_scale are rounded half away from zero
    and belong to the region; neighbouring bins may overlap by a cell.
    """

    pooled: tuple[int, int]
    spatial_scale: float

    def infer(self, inputs: Types) -> TensorType:
        x, regions = operands(self, inputs, 2)
        floats(self, inputs)
        _, channels, *_ = rank(self, x, 4)
        positive(self, "pooled", self.pooled)
        fits = bool(regions.shape) and regions.shape[-1] == 5
        require(self, fits, f"regions cannot be {regions}")
        return TensorType((regions.elements // 5, channels, *self.pooled))

    def evaluate(self, *inputs: Array | None) -> Array:
        x, regions = inputs
        assert x is not None and regions is not None
        table = regions.reshape(-1, 5)
        scaled = (table[:, 1:] * np.float32(self.spatial_scale)).astype(np.float64)
        corners = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)
        out = np.zeros((len(table), x.shape[1], *self.pooled), np.float32)
        for place, image, (x1, y1, x2, y2) in zip(
            out, table[:, 0].astype(np.int64), corners, strict=True
        ):
            rows = _bins(y1, y2, self.pooled[0], x.shape[2])
            columns = _bins(x1, x2, self.pooled[1], x.shape[3])
            for i, j in np.ndindex(self.pooled):
                part = x[image, :, slice(*rows[i]), slice(*columns[j])]
                if part.size:
                    place[:, i, j] = part.max(axis=(1, 2))
        return out


def _bins(first: int, last: int, count: int, limit: int) -> Array:
    """Start and end of every bin of one dimension, [count, 2]."""
    size = np.float32(max(last - first + 1, 1)) / np.float32(count)
    index = np.arange(count, dtype=np.float32)
    edges = np.stack([np.floor(index * size), np.ceil((index + 1) * size)], axis=1)
    inside: Array = np.clip(edges.astype(np.int64) + first, 0, limit)
    return inside
