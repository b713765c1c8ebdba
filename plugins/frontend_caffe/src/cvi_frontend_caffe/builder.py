"""Builds the Graph: places constants, folds what is constant, keeps names apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi.importing.constants import GraphConstants
from cvi.ir import Array, Input, Op, Shape, TensorType
from cvi_frontend_caffe.values import Value, check_elements


class Builder(GraphConstants):
    """A Graph under construction.

    reserved: the names of all layers, which no constant may take.
    """

    def __init__(self, name: str, reserved: frozenset[str] = frozenset()) -> None:
        super().__init__(name, reserved, np.ascontiguousarray)

    def input(self, name: str, shape: Shape) -> Value:
        """A network input."""
        check_elements(shape, f"the input {name!r}")
        op = Input(name=self.graph.fresh(name), type=TensorType(shape), source=name)
        return Value(self.graph.add(op).name, shape)

    def emit(self, op: Op, operands: Sequence[Value | None], layer: str) -> Value:
        """The result of an op: a new layer, or a constant when all operands are constant."""
        values = [v for v in operands if v is not None]
        if values and all(v.array is not None for v in values):
            return self._fold(op, operands)
        if isinstance(self.graph.get(op.source), Input):
            op = op.with_(source="")  # a layer called like an input: the name is the input's
        names = tuple(self._operand(v, f"{layer}_{i}") for i, v in enumerate(operands))
        typed = self.graph.add(op.with_(name=self.graph.fresh(op.name), inputs=names))
        check_elements(typed.type.shape, f"the result of {typed.name}")
        return Value(typed.name, typed.type.shape)

    def _fold(self, op: Op, operands: Sequence[Value | None]) -> Value:
        typed = op.with_(type=op.infer([None if v is None else v.type for v in operands]))
        check_elements(typed.type.shape, f"the result of {op.name}")
        with np.errstate(all="ignore"):
            return Value.of(typed.evaluate(*(None if v is None else v.array for v in operands)))

    def _operand(self, value: Value | None, wanted: str) -> str:
        if value is None:
            return ""
        return value.name if value.array is None else self._constant(value.array, wanted)

    def _constant(self, array: Array, wanted: str) -> str:
        name = self.free_name(wanted)
        self.graph.constants[name] = np.ascontiguousarray(array)
        return name
