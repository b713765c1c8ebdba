"""One TFLite op as its converter sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cvi.importing.constants import check_elements
from cvi.importing.converted import Converted
from cvi.ir import Array, Op, Shape
from cvi.ops import Permute, Reshape
from cvi_frontend_tflite.builder import Blocks, Builder
from cvi_frontend_tflite.layout import reshaping
from cvi_frontend_tflite.values import (
    IMAGE,
    Order,
    Value,
    in_order,
    only_moves_ones,
)

FLOAT = np.dtype(np.float32)


class Node(Converted):
    """An op, its operands already converted.

    A converter reads options and operands, builds layers with `emit`, and returns the
    value of the first result (or of all results, in order). It calls `refuse` for what
    it cannot do; every refused op of a model is reported in one error.

    name: e.g. "CONV_2D". where: the op as the user should read it in an error.
    outputs: tensor names. layers: names of the layers that compute them.
    types: TFLite's types of the results; input_types: of the operands.
    batch: (the model's own batch size, the one asked for), None when they are the same.
    """

    def __init__(
        self,
        *,
        name: str,
        where: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[str],
        layers: Sequence[str],
        options: Any,
        builder: Builder,
        types: Sequence[str] = (),
        input_types: Sequence[str] = (),
        batch: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self.where = where
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.batch = batch
        self.types = tuple(types)
        self.input_types = tuple(input_types)
        self._layers = tuple(layers)
        self._options = options
        self._builder = builder

    # -- names and options --------------------------------------------------

    @property
    def layer(self) -> str:
        """Name of the layer that computes the first result."""
        return self._layers[0]

    def layer_of(self, output: int) -> str:
        return self._layers[output]

    def helper(self, suffix: str) -> str:
        """Name of an auxiliary layer of this op."""
        return f"{self.layer}_{suffix}"

    def option(self, name: str, default: Any) -> Any:
        """A field of the op's options; the default when it has none."""
        return default if self._options is None else getattr(self._options, name)()

    def option_list(self, name: str) -> tuple[int, ...]:
        """A field that is a list of integers."""
        array = self.option(f"{name}AsNumpy", None)
        return tuple(int(v) for v in array) if isinstance(array, np.ndarray) else ()

    # -- operands -------------------------------------------------------------

    def operand(self, index: int) -> Value:
        """A required operand; ModelError when it is absent."""
        value = self.optional(index)
        if value is None:
            self.broken(f"operand {index} is missing")
        return value

    def optional(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def operands(self) -> list[Value]:
        """All operands of an op that takes any number of them."""
        return [self.operand(i) for i in range(max(1, len(self.inputs)))]

    def constant(self, index: int, what: str) -> Array:
        """The content of a required operand; refuses the op when it depends on the data."""
        value = self.operand(index)
        if value.array is None:
            self.refuse(f"takes {what} from the data; only constants are supported")
        return value.array

    def integers(self, index: int, what: str) -> tuple[int, ...]:
        """A constant operand as whole numbers."""
        array = self.constant(index, what)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            self.broken(f"{what} must be a list of integers")
        return tuple(int(v) for v in array.ravel())

    def integer(self, index: int, what: str) -> int:
        values = self.integers(index, what)
        if len(values) != 1:
            self.broken(f"{what} must be one integer")
        return values[0]

    def arrays(self) -> list[Array]:
        """All operands of an op that is supported on constants only."""
        found = [None if v is None else v.array for v in self.inputs]
        arrays = [a for a in found if a is not None]
        if len(arrays) != len(self.inputs):
            self.refuse("works on the data; it is supported on constants only")
        return arrays

    @property
    def is_constant(self) -> bool:
        """Whether every operand is known."""
        return all(v is None or v.array is not None for v in self.inputs)

    # -- order of dimensions ----------------------------------------------------

    def held(self, x: Value, order: Order, name: str = "") -> Value:
        """The tensor in a layer that holds its dimensions in that order.

        A constant becomes the array that such a layer would give. name: of the layer, if
        one is needed.
        """
        if x.array is not None:
            return Value.of(x.array.transpose(order), x.name)
        if x.order == order:
            return x
        known = self._builder.turned.get((x.name, order))
        if known is not None and known.shape == x.shape and not name:
            return known
        name = name or f"{x.name}_turned"
        turn = tuple(x.order.index(i) for i in order)
        op: Op = Permute(name=name, order=turn)
        if only_moves_ones(x.carried, turn):
            op = Reshape(name=name, shape=tuple(x.shape[i] for i in order))
        result = self.emit(op, x, order=order)
        self._builder.turned[x.name, order] = result
        return result

    def moves(self, x: Value, order: Order) -> int:
        """How many elements `held` would have to move."""
        turn = tuple(x.order.index(i) for i in order)
        known = x.array is not None or (x.name, order) in self._builder.turned
        return 0 if known or only_moves_ones(x.carried, turn) else x.elements

    def image(self, x: Value) -> Value:
        """A tensor [n, h, w, c] in a layer [n, c, h, w]."""
        if x.rank != 4:
            self.refuse(f"reads a tensor of {x.rank} dimensions; images have 4")
        return self.held(x, IMAGE)

    def plain(self, x: Value) -> Value:
        """A tensor in a layer of the same shape."""
        return self.held(x, in_order(x.rank))

    def reshaped(self, x: Value, shape: Shape, name: str) -> Value:
        """The tensor in another shape (all sizes known)."""
        if math.prod(shape) != x.elements or min(shape, default=1) < 1:
            self.broken(f"{_dims(x.shape)} cannot take the shape {_dims(shape)}")
        if x.array is not None:
            return Value.of(x.array.reshape(shape), x.name)
        if shape == x.shape:
            return x
        way = reshaping(x.shape, shape, x.order)
        x = self.held(x, way.before)
        held = tuple(shape[i] for i in way.after)
        return self.emit(Reshape(name=name, shape=held), x, order=way.after)

    # -- results ------------------------------------------------------------------

    def emit(self, op: Op, *operands: Value | Array | None, order: Order | None = None) -> Value:
        """Add an op that reads these operands; folded when all of them are constant.

        order: how the new layer holds the result, None for in order. An op named like
        `layer_of(…)` equals that tensor of the model.
        """
        values = [
            Value.of(v, f"{op.name}_operand{i}") if isinstance(v, np.ndarray) else v
            for i, v in enumerate(operands)
        ]
        sources = dict(zip(self._layers, self.outputs, strict=True))
        return self._builder.emit(op.with_(source=sources.get(op.name, "")), values, order)

    def emit_reading(self, op: Op, names: Sequence[str], *, order: Order) -> Value:
        """`emit` of an op that reads layers and constants which are in the graph already."""
        source = dict(zip(self._layers, self.outputs, strict=True)).get(op.name, "")
        graph = self._builder.graph
        free = op.with_(name=graph.fresh(op.name), inputs=tuple(names), source=source)
        return self._builder.value_of(graph.add(free), FLOAT, order)

    def producer(self, x: Value) -> Op | None:
        """The layer that computes a tensor, None for constants."""
        return self._builder.graph.get(x.name) if x.array is None else None

    def layer_named(self, name: str) -> Op | None:
        """A layer of the graph, None for constants."""
        return self._builder.graph.get(name)

    def remember_blocks(self, x: Value, blocks: Blocks) -> None:
        self._builder.blocks[x.name] = blocks

    def blocks_of(self, layer: str) -> Blocks | None:
        """What a layer of blocks is made from, None for other layers."""
        return self._builder.blocks.get(layer)

    def fold(self, array: Any) -> Value:
        """A computed constant as the op's result."""
        return Value.of(np.asarray(array), self.outputs[0])

    def will_compute(self, shape: Shape) -> None:
        """To be called before a constant of that shape is computed; ModelError if absurd."""
        check_elements(shape, f"the result of {self.where}")
        given = sum(v.elements for v in self.inputs if v is not None)
        self._builder.budget(int(np.prod(shape, dtype=np.int64)), given, self.where)

    # -- axes --------------------------------------------------------------------

    def axes(self, values: Sequence[int], rank: int) -> tuple[int, ...]:
        """Several axes, sorted; TFLite allows an axis twice."""
        return tuple(sorted({self.axis(v, rank) for v in values}))


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
