"""Windows over one or two spatial dimensions: strides, padding, and 1-D as 2-D.

A 1-D tensor [n, c, l] becomes [n, c, l, 1], so that kernels are k x 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cvi import ops
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.values import Value


@dataclass(frozen=True)
class Window:
    """A sliding window per spatial dimension. pads: (before, after) per dimension."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    auto_pad: str

    @classmethod
    def read(
        cls, node: Node, x: Value, weight: Sequence[int] | None = None, transposed: bool = False
    ) -> Window:
        """From the attributes kernel_shape, strides, dilations, pads and auto_pad."""
        spatial = x.shape[2:]
        kernel = node.attributes.ints("kernel_shape", weight)
        if weight is not None and kernel != tuple(weight):
            node.broken(f"kernel_shape is {kernel} but the weight is {tuple(weight)}")
        ones = (1,) * len(spatial)
        strides = node.attributes.ints("strides", ones)
        dilations = node.attributes.ints("dilations", ones)
        padding = node.attributes.ints("pads", (0,) * 2 * len(spatial))
        auto_pad = node.attributes.string("auto_pad", "NOTSET") or "NOTSET"
        half = len(padding) // 2
        pads = tuple(zip(padding[:half], padding[half:], strict=False))
        window = cls(kernel, strides, dilations, pads, auto_pad)
        window._check(node, len(spatial))
        return window if transposed else window._resolved(node, spatial)

    def _check(self, node: Node, dims: int) -> None:
        for label in ("kernel", "strides", "dilations", "pads"):
            self.check_length(node, label, getattr(self, label), dims)
        if min(*self.kernel, *self.strides, *self.dilations) < 1:
            node.broken("kernel, strides and dilations must be positive")
        if self.auto_pad not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
            node.broken(f"auto_pad is {self.auto_pad!r}")
        if min(p for pads in self.pads for p in pads) < 0:
            node.refuse(f"pads {self.pads} are negative")

    def is_one(self, axis: int) -> bool:
        """Whether every window has one element along a dimension, each element its own."""
        single = self.kernel[axis] == self.strides[axis] == 1
        return single and not any(self.pads[axis]) and self.auto_pad == "NOTSET"

    def check_length(
        self, node: Node, label: str, values: Sequence[object], dims: int | None = None
    ) -> None:
        dims = len(self.kernel) if dims is None else dims
        if len(values) != dims:
            node.broken(f"{label} has {len(values)} entries for {dims} spatial dimensions")

    def _resolved(self, node: Node, spatial: Sequence[int]) -> Window:
        """With auto_pad turned into pads: SAME gives ceil(size / stride) results."""
        if self.auto_pad == "NOTSET":
            return self
        pads = []
        for size, kernel, stride, dilation in zip(
            spatial, self.kernel, self.strides, self.dilations, strict=True
        ):
            results = -(-size // stride)
            total = max((results - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            pads.append((0, 0) if self.auto_pad == "VALID" else self._halves(total))
        return Window(self.kernel, self.strides, self.dilations, tuple(pads), "NOTSET")

    def _halves(self, total: int) -> tuple[int, int]:
        """Padding before and after; the odd one goes after for SAME_UPPER."""
        small, large = total // 2, total - total // 2
        return (large, small) if self.auto_pad == "SAME_LOWER" else (small, large)

    def transposed_pads(
        self, node: Node, spatial: Sequence[int], extra: Sequence[int]
    ) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
        """Pads and output_padding of a transposed convolution.

        output_shape and auto_pad ask for a size: what is too much is cut off as pads, what
        is missing is added behind as output_padding (as onnxruntime does).
        """
        wanted = node.attributes.ints("output_shape", ())
        if wanted:
            wanted = wanted[-len(spatial) :]
        elif self.auto_pad.startswith("SAME"):
            wanted = tuple(n * s for n, s in zip(spatial, self.strides, strict=True))
        elif self.auto_pad == "VALID":
            return ((0, 0),) * len(spatial), tuple(extra)
        else:
            return self.pads, tuple(extra)
        self.check_length(node, "output_shape", wanted)
        surplus = [
            (size - 1) * stride + (kernel - 1) * dilation + 1 + more - asked
            for size, stride, kernel, dilation, more, asked in zip(
                spatial, self.strides, self.kernel, self.dilations, extra, wanted, strict=True
            )
        ]
        pads = tuple(self._transposed_halves(max(total, 0)) for total in surplus)
        return pads, tuple(e + max(-s, 0) for e, s in zip(extra, surplus, strict=True))

    def _transposed_halves(self, total: int) -> tuple[int, int]:
        """Cut off before and after; the odd one goes before except for SAME_UPPER."""
        small, large = total // 2, total - total // 2
        return (small, large) if self.auto_pad == "SAME_UPPER" else (large, small)


def pair(values: Sequence[int], filler: int = 1) -> tuple[int, int]:
    """One or two values as (rows, columns); 1-D has one column."""
    rows, columns = (*values, filler)[:2]
    return rows, columns


def onnx_pads(pads: Sequence[tuple[int, int]]) -> tuple[int, int, int, int]:
    """(before, after) per dimension as (top, left, bottom, right)."""
    (top, bottom), (left, right) = (*pads, (0, 0))[:2]
    return top, left, bottom, right


def to_2d(node: Node, x: Value) -> Value:
    """A 1-D tensor [n, c, l] as [n, c, l, 1]; 2-D as it is; the last two dimensions of 3-D as
    one, for windows that have one element along both."""
    if x.rank == 4:
        return x
    shape = (*x.shape, 1) if x.rank == 3 else (*x.shape[:3], math.prod(x.shape[3:]))
    return node.emit(ops.Reshape(name=node.helper("to_2d"), shape=shape), x)


def from_2d(node: Node, x: Value, y: Value) -> Value:
    """The result for the operand x, back in as many dimensions as x has."""
    if x.rank == 4:
        return y
    shape = y.shape[:3] if x.rank == 3 else (*y.shape[:3], *x.shape[3:])
    return node.emit(ops.Reshape(name=node.layer, shape=shape), y)
