"""The product of two matrices that are both computed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from cvi.ir import Op, Shape
from cvi_tpu.codegen.context import Context, View, lowers
from cvi_tpu.codegen.planner import Load, Part, Tile, TiledOp, run, tile_bytes
from cvi_tpu.codegen.tiling import Box
from cvi_tpu.isa.instructions import MatMul, MatrixCopy, Tdma, Tiu
from cvi_tpu.isa.operands import Dram, Local, Matrix, Shape4, ceil_div, dram_matrix
from cvi_tpu.isa.tiu_matmul import matrix_strides
from cvi_tpu.quantized.ops import Bf16MatMul, Int8MatMul

Product = Int8MatMul | Bf16MatMul


@dataclass(frozen=True)
class Stack:
    """The matrices in the last two dims of a view, one for each product of a batch.

    offsets: where each starts, in bytes from the view's address.
    """

    view: View
    offsets: tuple[int, ...]

    @classmethod
    def of(cls, view: View, lead: Shape) -> Stack:
        """The matrices of a view whose leading dims broadcast to `lead`."""
        offsets = np.zeros((), np.int64)
        for size, stride in zip(view.shape[:-2], view.strides[:-2], strict=True):
            offsets = offsets[..., None] + np.arange(size) * stride
        return cls(view, tuple(np.broadcast_to(offsets, lead).ravel().tolist()))

    @property
    def moves(self) -> bool:
        """Whether different products read different matrices."""
        return len(set(self.offsets)) > 1

    def part(self, box: Box) -> Dram:
        """Rows h and columns w of the matrix n."""
        row, column = self.view.strides[-2:]
        inside = box.h.start * row + box.w.start * column
        address = self.view.address + self.offsets[box.n.start] + inside
        return dram_matrix(
            self.view.region, address, box.h.size, box.w.size, row_stride=row,
            bf16=self.view.element_bytes > 1,
        )  # fmt: skip


class TiledMatMul(TiledOp):
    """Products of a batch of matrices, seen as (batch, 1, rows, columns).

    Tiles lie in local memory as matrices (FACTS_TPU 2.2). The reduction may be cut:
    partial sums then stay in local memory as 32-bit values in planes (3.7). For BF16 the op
    says how.
    """

    orders = ("nchwk", "ncwhk")
    prefers_overlap = True

    def __init__(self, ctx: Context, op: Product, left: View, right: View, target: View) -> None:
        lead, (rows, columns) = target.shape[:-2], target.shape[-2:]
        output = (prod(lead), 1, rows, columns)
        super().__init__(ctx, op, (left, right), target, output)
        self.op = op
        self.stacks = (Stack.of(left, lead), Stack.of(right, lead))
        self.result = Stack.of(target, lead)
        self.reduction = left.shape[-1]

    def layer_signature(self) -> Hashable:
        return tuple(stack.moves for stack in self.stacks)

    def spaces(
        self, ns: Sequence[int], hs: Sequence[int], ws: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        """One product at a time; rows and columns are cut alike."""
        return [(1, h, w) for w in ws for h in hs]

    def units(self) -> Mapping[str, int]:
        """As many columns as all lanes compute at once."""
        return {**super().units(), "w": self.spec.lanes * self.unit}

    @property
    def unit(self) -> int:
        """Columns that a lane computes at a time."""
        return self.spec.eu_bytes // self.element_bytes

    def depths(self) -> list[int]:
        if isinstance(self.op, Bf16MatMul):
            return [self.op.step or self.reduction]
        return super().depths()

    def parts(self, tile: Tile) -> list[Part]:
        box = tile.box
        boxes = (Box(box.n, box.c, box.h, tile.k), Box(box.n, box.c, tile.k, box.w))
        moving = ["n" if stack.moves else "" for stack in self.stacks]
        return [Part(boxes[0], moving[0] + "hk"), Part(boxes[1], moving[1] + "wk")]

    def load(self, index: int, part: Part, tile: Tile) -> Load:
        del tile
        stack, box = self.stacks[index], part.box
        key = (stack.offsets[box.n.start], box.h, box.w)
        return Load(f"in{index}", key, stack.part(box), self.local(0, box.shape), part.depends)

    def store(self, box: Box) -> Dram:
        return self.result.part(box)

    def local(self, address: int, shape: Shape4, element_bytes: int = 0) -> Local:
        """A matrix as the tensor (rows, pieces, 1, width) that it is stored as."""
        *_, rows, columns = shape
        size = element_bytes or self.element_bytes
        pieces, width = cut(columns, self.spec.lanes, self.unit)
        row, group = matrix_strides(pieces, width, size > 1, self.spec)
        strides = (row, group, width * size, size)
        return Local(address, (rows, pieces, 1, width), strides, bf16=size > 1)

    def transfer(self, source: Local | Dram, target: Local | Dram) -> Tdma:
        dram = source if isinstance(source, Dram) else target
        _, rows, _, columns = dram.shape
        sides = [
            side if isinstance(side, Dram) else matrix(side, rows, columns)
            for side in (source, target)
        ]
        return MatrixCopy(source=sides[0], target=sides[1], layer=self.layer)

    def planes(self, cut_k: bool) -> int:
        return 4 // self.element_bytes if cut_k else 1

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        del at
        rows, depth, columns = tile.box.h.size, tile.k.size, tile.box.w.size
        partial = (0 if tile.first else 1) | (0 if tile.last else 2)
        op = self.op
        rate = (op.multiplier, op.shift) if isinstance(op, Int8MatMul) and tile.last else (None, 0)
        return [
            MatMul(
                result=matrix(result, rows, columns),
                left=matrix(operands[0], rows, depth),
                right=matrix(operands[1], depth, columns),
                multiplier=rate[0],
                shift=rate[1],
                relu=op.relu and tile.last,
                partial=partial,
                partial_plane=tile_bytes(result) if partial else 0,
                layer=self.layer,
            )
        ]

    def cycles(self, tile: Tile) -> float:
        rows, columns = tile.box.h.size, tile.box.w.size
        pieces, width = cut(columns, self.spec.lanes, self.unit)
        rounds = rows * ceil_div(pieces, self.spec.lanes) * ceil_div(width, self.unit)
        return 72 + rounds * (tile.k.size + 1)


def cut(columns: int, lanes: int, unit: int) -> tuple[int, int]:
    """Pieces of a row and their width, so that a row spreads over all lanes in whole units
    (FACTS_TPU 2.2)."""
    width = min(columns, unit * ceil_div(columns, unit * lanes))
    return ceil_div(columns, width), width


def matrix(tensor: Local, rows: int, columns: int) -> Matrix:
    """The matrix that a tensor (rows, pieces, 1, width) holds."""
    _, pieces, _, width = tensor.shape
    return Matrix(
        tensor.address, rows, columns, pieces, width, tensor.strides[:2], bf16=tensor.bf16
    )


def joined(left: View, right: View, target: View) -> tuple[View, View, View]:
    """Products with one and the same right matrix as one product with more rows."""
    shared = prod(right.shape[:-2]) == 1
    if not (shared and right.is_dense and left.is_dense and target.is_dense):
        return left, right, target
    depth, columns = right.shape[-2:]
    rows = prod(target.shape[:-1])
    return (
        left.reshaped((rows, depth)),
        right.reshaped((depth, columns)),
        target.reshaped((rows, columns)),
    )


@lowers(Int8MatMul, Bf16MatMul)
def lower_matmul(op: Op, ctx: Context) -> None:
    """Products of matrices, one after the other."""
    assert isinstance(op, Product)
    left, right = (ctx.view(name) for name in op.inputs)
    run(TiledMatMul(ctx, op, *joined(left, right, ctx.view(op.name))))
