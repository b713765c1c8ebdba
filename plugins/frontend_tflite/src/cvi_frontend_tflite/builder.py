"""Builds the Graph: places constants, folds what is constant, keeps names apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvi.errors import UnsupportedError
from cvi.importing.constants import GraphConstants, check_elements
from cvi.ir import Array, Op
from cvi.ops import Embedding, Movement
from cvi_frontend_tflite.values import Order, Value, in_order, inverse

_FP32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Blocks:
    """A tensor whose pixels were spread over a batch: the whole image, padded, in blocks."""

    whole: Value
    block: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


class Builder(GraphConstants):
    """A Graph under construction.

    blocks: layers that hold the pixels of an image spread over a batch.
    turned: for a layer and another order, the layer that holds the same tensor so.
    """

    def __init__(self, name: str, reserved: frozenset[str] = frozenset()) -> None:
        super().__init__(name, reserved, as_fp32)
        self.blocks: dict[str, Blocks] = {}
        self.turned: dict[tuple[str, Order], Value] = {}

    def emit(self, op: Op, operands: Sequence[Value | None], order: Order | None) -> Value:
        """The result of an op: a new layer, or a constant when all operands are constant.

        order: how the layer holds the result, None for in order. Constant operands are
        arrays in the order in which the op wants them.
        """
        values = [v for v in operands if v is not None]
        if values and all(v.array is not None for v in values):
            return self._fold(op, operands, order)
        self._check_types(op, values)
        names = tuple(self.operand(v) for v in operands)
        typed = self.graph.add(op.with_(name=self.graph.fresh(op.name), inputs=names))
        moved = next(v.dtype for v in values if v.array is None)
        return self.value_of(typed, moved if isinstance(op, Movement) else _FP32, order)

    def value_of(self, op: Op, dtype: np.dtype[Any], order: Order | None) -> Value:
        """The tensor that a layer of the graph holds in that order."""
        held = op.type.shape
        check_elements(held, f"the result of {op.name}")
        order = in_order(len(held)) if order is None else order
        return Value(op.name, tuple(held[i] for i in inverse(order)), dtype, order)

    def settle(self, start: int, value: Value, source: str) -> None:
        """Of the layers from `start` on, the one that holds the value stands for the tensor
        `source`, and no other."""
        graph = self.graph
        ops = [_standing(op, value, source) for op in graph.ops[start:]]
        if ops != graph.ops[start:]:
            del graph.ops[start:]
            for op in ops:
                graph.append(op)

    def _fold(self, op: Op, operands: Sequence[Value | None], order: Order | None) -> Value:
        arrays = [None if v is None or v.array is None else v.array for v in operands]
        if not isinstance(op, Movement):
            arrays = [None if a is None else as_fp32(a) for a in arrays]
        typed = op.with_(type=op.infer([v.type if v is not None else None for v in operands]))
        self.budget(typed.type.elements, sum(a.size for a in arrays if a is not None), op.name)
        with np.errstate(all="ignore"):
            result = np.asarray(typed.evaluate(*arrays))
        return Value.of(result if order is None else result.transpose(inverse(order)), op.name)

    def _check_types(self, op: Op, values: Sequence[Value]) -> None:
        if isinstance(op, (Movement, Embedding)):
            return
        for value in values:
            if value.array is None and not value.is_float:
                raise UnsupportedError(
                    f"computes with data of type {value.dtype}; only floats are supported"
                )


def _standing(op: Op, value: Value, source: str) -> Op:
    if value.array is None and op.name == value.name:
        return op if op.source else op.with_(source=source)
    return op.with_(source="") if op.source == source else op


def as_fp32(array: Array) -> Array:
    """The array in fp32 and in row-major order, itself when it is already."""
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(array, np.float32)
