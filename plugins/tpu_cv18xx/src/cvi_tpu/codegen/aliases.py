"""Decides which values share memory with another value, so that nothing is copied.

Three kinds of ops may need no work: a Reshape whose operand is dense is the same bytes, a
Slice without steps is a window of its operand, and the operands of a Concat can be
computed straight into their windows of its result. Network inputs and outputs and what a
CPU function touches need dense memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from cvi.ir import Graph, Input, Op
from cvi.ops import Concat, Reshape, Slice
from cvi.ops.movement import Movement, Upsample
from cvi_tpu.codegen.context import View
from cvi_tpu.codegen.kernels.movement import concat_window, slice_window
from cvi_tpu.codegen.kernels.movement_copy import MAX_ROW_STRIDE
from cvi_tpu.codegen.partition import Unit, unit_of

ALIGN = 64
"""Alignment of tensors in memory (DECISIONS: alignment in global memory)."""


@dataclass(frozen=True)
class Placed:
    """A value as a view inside the memory of `root`; addresses count from its start."""

    root: str
    view: View


def own_memory(op: Op) -> Placed:
    """A value that has dense memory of its own."""
    return Placed(op.name, View.dense(0, 0, op.type.shape, op.type.dtype.size))


def find_aliases(graph: Graph, *, share: bool = True) -> dict[str, Placed]:
    """The place of every op's result. share=False: every result has memory of its own but
    for the results of Reshapes that the CPU would have to copy."""
    finder = _Finder(graph, share)
    for op in reversed(graph.ops):
        finder.place_operands(op)
    for op in graph.ops:
        finder.place(op)
    return finder.placed


def free_ops(graph: Graph, placed: dict[str, Placed]) -> set[str]:
    """Ops that are no work: their result is memory that other ops have filled."""
    return {op.name for op in graph.ops if _is_free(op, placed)}


def _is_free(op: Op, placed: dict[str, Placed]) -> bool:
    if not op.inputs:
        return False
    operands = [placed.get(name) for name in op.inputs]
    mine, start = placed[op.name], 0
    if any(source is None or source.root != mine.root for source in operands):
        return False
    views = [source.view for source in operands if source is not None]
    if isinstance(op, Reshape):
        return views[0].address == mine.view.address
    if isinstance(op, Slice):
        return slice_window(views[0], op) == mine.view
    if not isinstance(op, Concat):
        return False
    for view in views:
        if view != concat_window(mine.view, op.axis, start, view.shape):
            return False
        start += view.shape[op.axis]
    return True


class _Finder:
    def __init__(self, graph: Graph, share: bool) -> None:
        self.graph, self.share = graph, share
        self.users = graph.users()
        self.outputs = set(graph.outputs)
        self.placed: dict[str, Placed] = {}

    # -- operands go where their reader wants them ----------------------------

    def place_operands(self, op: Op) -> None:
        """Called in reverse order: the place of `op` is known if a reader demanded it."""
        if not self.share:
            return
        if isinstance(op, Concat):
            self._place_windows(op)
        if isinstance(op, Reshape) and (op.name in self.placed or op.name in self.outputs):
            mine = self.placed.setdefault(op.name, own_memory(op))
            shape = self.graph.type_of(op.inputs[0]).shape
            self._demand(op.inputs[0], replace(mine, view=mine.view.reshaped(shape)))

    def _place_windows(self, op: Concat) -> None:
        mine = self.placed.setdefault(op.name, own_memory(op))
        counts, start = Counter(op.inputs), 0
        for name in op.inputs:
            shape = self.graph.type_of(name).shape
            if counts[name] == 1:
                window = concat_window(mine.view, op.axis, start, shape)
                self._demand(name, replace(mine, view=window))
            start += shape[op.axis]

    def _demand(self, name: str, where: Placed) -> None:
        """Place a value there unless something speaks against it."""
        op = self.graph.get(name)
        if op is None or name in self.placed or name in self.outputs or isinstance(op, Input):
            return
        if self._accepts(op, where.view) and self._readable(op, where.view):
            self.placed[name] = where

    # -- results that are part of their operand -------------------------------

    def place(self, op: Op) -> None:
        """Called in order: the places of the operands are known."""
        if op.name in self.placed:
            return
        alias = self._alias(op) if op.name not in self.outputs else None
        self.placed[op.name] = alias or own_memory(op)

    def _alias(self, op: Op) -> Placed | None:
        if not isinstance(op, (Reshape, Slice)) or op.inputs[0] not in self.placed:
            return None
        source = self.placed[op.inputs[0]]
        if isinstance(op, Reshape):
            if not source.view.is_dense or not (self.share or self._between_cpu(op)):
                return None
            return replace(source, view=source.view.reshaped(op.shape))
        if not self.share or any(step != 1 for step in op.steps):
            return None
        window = slice_window(source.view, op)
        return replace(source, view=window) if self._readable(op, window) else None

    def _between_cpu(self, op: Reshape) -> bool:
        """Whether a copy would be an extra TPU segment between CPU functions."""
        source = self.graph.get(op.inputs[0])
        return source is not None and unit_of(source) is Unit.CPU

    # -- who copes with which memory ------------------------------------------

    def _accepts(self, op: Op, view: View) -> bool:
        """Whether an op can write its result there."""
        if unit_of(op) is Unit.CPU:
            return for_cpu(view)
        if isinstance(op, Reshape):
            return view.is_dense
        return _moves(op) or for_kernels(view)

    def _readable(self, op: Op, view: View) -> bool:
        """Whether all readers of the op's result can read it there."""
        return all(self._reads(user, view) for user in self.users[op.name])

    def _reads(self, user: Op, view: View) -> bool:
        if unit_of(user) is Unit.CPU:
            return for_cpu(view)
        if isinstance(user, Reshape) and not view.is_dense and user.name in self.placed:
            return self.placed[user.name].view.is_dense
        if isinstance(user, Reshape) and view.is_dense:
            return all(self._reads(u, view.reshaped(user.shape)) for u in self.users[user.name])
        return _moves(user) or for_kernels(view)


def _moves(op: Op) -> bool:
    """Whether an op is lowered by copies that take any strides."""
    by_kernel = isinstance(op, Upsample) and op.type.dtype.size == 1
    return isinstance(op, Movement) and not by_kernel


def for_cpu(view: View) -> bool:
    """CPU functions want dense tensors that share no cache line with others."""
    return view.is_dense and view.address % ALIGN == 0


def for_kernels(view: View) -> bool:
    """The compute kernels read and write four dims with contiguous rows, or dense memory."""
    if view.is_dense:
        return True
    rows = len(view.shape) == 4 and view.strides[3] == view.element_bytes
    return rows and view.strides[2] <= MAX_ROW_STRIDE
