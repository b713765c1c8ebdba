"""Ops that only move elements: they mean the same for every element type.

The quantised floor uses these classes unchanged; a result has the element type and
the scale of its first operand.
"""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op


@dataclass(frozen=True, kw_only=True)
class Movement(Op):
    """Base of the ops that only move elements."""


@dataclass(frozen=True, kw_only=True)
class Reshape(Movement):
    """The same elements in row-major order with another shape (all dims positive)."""

    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Permute(Movement):
    """numpy.transpose with `order`."""

    order: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Concat(Movement):
    """Operands joined along `axis` (non-negative)."""

    axis: int = 1


@dataclass(frozen=True, kw_only=True)
class Slice(Movement):
    """x[start : start + size*step : step] in every dimension; steps are positive."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Pad(Movement):
    """Padding: `before` and `after` per dimension (negative crops are Slices, not Pads).

    mode: constant (filled with `value`, a real number; on an integer tensor it is
    quantised by the tensor's scale), edge or reflect.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    mode: str = "constant"
    value: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Upsample(Movement):
    """Nearest-neighbour upsampling of x[n,c,h,w] by whole factors (each pixel repeated)."""

    factors: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class PixelShuffle(Movement):
    """x[n,c*f*f,h,w] to [n,c,h*f,w*f].

    mode CRD: input channel = (c*f + dy)*f + dx; DCR: input channel = (dy*f + dx)*C + c.
    """

    factor: int
    mode: str = "CRD"


@dataclass(frozen=True, kw_only=True)
class Tile(Movement):
    """The tensor repeated `repeats` times in each dimension (numpy.tile)."""

    repeats: tuple[int, ...]
