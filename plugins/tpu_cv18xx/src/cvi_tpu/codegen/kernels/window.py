"""What convolutions and pools share: a window that walks over h and w."""

from __future__ import annotations

from dataclasses import dataclass

from cvi_tpu.codegen.tiling import Axis, Box, Range, Reach, split_reaching
from cvi_tpu.isa.instructions import Window
from cvi_tpu.isa.operands import Shape4

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Sliding:
    """A window over the plane of an input of shape (n, c, h, w)."""

    kernel: Pair
    stride: Pair
    pads: Pads
    dilation: Pair = (1, 1)
    insert: Pair = (0, 0)

    def axes(self, shape: Shape4) -> tuple[Axis, Axis]:
        """The walk along h and along w."""
        top, left, bottom, right = self.pads
        edges = ((top, bottom), (left, right))
        h, w = (
            Axis(
                shape[2 + i],
                (self.kernel[i] - 1) * self.dilation[i] + 1,
                self.stride[i],
                edges[i][0],
                edges[i][1],
                self.insert[i],
            )
            for i in (0, 1)
        )
        return h, w

    def window(self, h: Reach, w: Reach, fill: int = 0) -> Window:
        """The window of a tile whose input part is given: its padding is the tile's own."""
        return Window(
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            pads=(h.before, w.before, h.after, w.after),
            insert=self.insert,
            fill=fill,
        )


def reach(axes: tuple[Axis, Axis], box: Box) -> tuple[Reach, Reach]:
    """The input rows and columns that a box of the output needs."""
    h, w = axes[0].reach(box.h), axes[1].reach(box.w)
    assert h is not None and w is not None, "ranges are cut so that each reaches the input"
    return h, w


def window_ranges(axes: tuple[Axis, Axis], dim: str, size: int) -> list[Range]:
    """Cuts of an output dimension such that every part reaches real input."""
    return split_reaching(axes["hw".index(dim)], size)


def window_appetite(axes: tuple[Axis, Axis], dim: str, part: Range) -> int:
    """Input elements that an output range needs along h or w."""
    needed = axes["hw".index(dim)].reach(part)
    return needed.range.size if needed else 0
