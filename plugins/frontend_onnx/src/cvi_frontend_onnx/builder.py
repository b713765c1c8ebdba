"""Builds the Graph: places constants, folds what is constant, keeps names apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi.errors import UnsupportedError
from cvi.importing.constants import GraphConstants, check_elements
from cvi.ir import Op
from cvi.ops import Embedding, Movement
from cvi_frontend_onnx.values import Value, as_fp32


class Builder(GraphConstants):
    """A Graph under construction."""

    def __init__(self, name: str, reserved: frozenset[str] = frozenset()) -> None:
        super().__init__(name, reserved, as_fp32)

    def emit(self, op: Op, operands: Sequence[Value | None]) -> Value:
        """The result of an op: a new layer, or a constant when all operands are constant."""
        values = [v for v in operands if v is not None]
        if values and all(v.array is not None for v in values):
            return self._fold(op, operands)
        self._check_types(op, values)
        names = tuple(self.operand(v) for v in operands)
        if any(v.grid is not None for v in values):
            op = op.with_(source="")  # the tensor in the file holds integers
        typed = self.graph.add(op.with_(name=self.graph.fresh(op.name), inputs=names))
        check_elements(typed.type.shape, f"the result of {typed.name}")
        if not isinstance(op, Movement):
            return Value(typed.name, typed.type.shape, np.dtype(np.float32))
        moved = next(v for v in values if v.array is None)
        return Value(typed.name, typed.type.shape, moved.dtype, grid=moved.grid)

    def _fold(self, op: Op, operands: Sequence[Value | None]) -> Value:
        arrays = [None if v is None or v.array is None else v.array for v in operands]
        if not isinstance(op, Movement):
            arrays = [None if a is None else as_fp32(a) for a in arrays]
        typed = op.with_(type=op.infer([v.type if v is not None else None for v in operands]))
        self.budget(typed.type.elements, sum(a.size for a in arrays if a is not None), op.name)
        with np.errstate(all="ignore"):
            return Value.of(np.asarray(typed.evaluate(*arrays)), op.name)

    def _check_types(self, op: Op, values: Sequence[Value]) -> None:
        if isinstance(op, (Movement, Embedding)):
            if any(v.grid != values[0].grid for v in values):
                raise UnsupportedError("joins data that is quantised by different scales")
            return
        for value in values:
            if value.array is None and not value.is_float:
                raise UnsupportedError(
                    f"computes with data of type {value.dtype}; only floats are supported"
                )
