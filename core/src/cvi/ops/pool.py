"""Pooling."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class MaxPool2d(Op):
    """Maximum over windows of x[n,c,h,w]; padding never wins.

    pads: (top, left, bottom, right); ceil_mode is resolved into larger bottom and
    right pads by the frontend, so the output size is always the floor formula.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)


@dataclass(frozen=True, kw_only=True)
class AvgPool2d(Op):
    """Mean over windows of x[n,c,h,w].

    pads: as in MaxPool2d. count_include_pad: padding counts as zeros in the divisor,
    except for the last `ceil_pads` = (bottom, right) rows and columns that only exist
    because of ceil_mode (they are part of `pads` and never counted).
    A global average pool has kernel == (h, w).
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    ceil_pads: Pair = (0, 0)
    count_include_pad: bool = False
    relu: bool = False
