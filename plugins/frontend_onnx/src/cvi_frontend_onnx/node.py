"""One ONNX node as its converter sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cvi.errors import ModelError
from cvi.importing.constants import check_elements
from cvi.importing.converted import Converted
from cvi.ir import Array, Op, Shape
from cvi_frontend_onnx.attributes import Attributes
from cvi_frontend_onnx.builder import Builder
from cvi_frontend_onnx.values import Value

if TYPE_CHECKING:
    from onnx import GraphProto


class Node(Converted):
    """A node, its operands already converted.

    A converter reads `attributes` and operands, builds ops with `emit`, and returns the
    value of the first output (or of all outputs, in order). It calls `refuse` for what
    it cannot do; every refused node of a model is reported in one error.

    op_type: e.g. "Conv"; "domain.Op" outside ONNX's own domain.
    opset: the version of the node's operator set.
    where: the node as the user should read it in an error.
    outputs: tensor names, "" for outputs that nobody wants.
    batch: (the model's own batch size, the one asked for), None when they are the same.
    inline: converts the nodes of a branch and gives its outputs.
    shown: whether the framework's own inference can show the node's outputs.
    """

    def __init__(
        self,
        *,
        op_type: str,
        opset: int,
        where: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[str],
        attributes: Attributes,
        builder: Builder,
        batch: tuple[int, int] | None = None,
        inline: Callable[[GraphProto], list[Value]],
        shown: bool = True,
    ) -> None:
        self.op_type = op_type
        self.opset = opset
        self.where = where
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.attributes = attributes
        self.batch = batch
        self.inline = inline
        self._shown = shown
        self._builder = builder
        self._layer_type = op_type.rpartition(".")[2]

    # -- names ------------------------------------------------------------

    @property
    def layer(self) -> str:
        """Name of the layer that computes the first output: `<output>_<OpType>`."""
        return self.layer_of(0)

    def layer_of(self, output: int) -> str:
        return f"{self.outputs[output]}_{self._layer_type}"

    def helper(self, suffix: str) -> str:
        """Name of an auxiliary layer of this node."""
        return f"{self.layer}_{suffix}"

    # -- operands ---------------------------------------------------------

    def operand(self, index: int) -> Value:
        """A required operand; ModelError when it is absent."""
        value = self.optional(index)
        if value is None:
            raise ModelError(f"operand {index} is missing", where=self.where)
        return value

    def optional(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def operands(self) -> list[Value]:
        """All operands of an op that takes any number of them."""
        return [self.operand(i) for i in range(max(1, len(self.inputs)))]

    def constant(self, index: int, what: str) -> Array:
        """The content of a required operand; refuses the node when it depends on the data."""
        value = self.operand(index)
        if value.array is None:
            self.refuse(f"takes {what} from the data; only constants are supported")
        return value.array

    def optional_constant(self, index: int, what: str) -> Array | None:
        return None if self.optional(index) is None else self.constant(index, what)

    def integers(self, index: int, what: str) -> tuple[int, ...]:
        """A constant operand as whole numbers."""
        array = self.constant(index, what)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise ModelError(f"{what} must be a list of integers", where=self.where)
        return tuple(int(v) for v in array.ravel())

    def arrays(self) -> list[Array]:
        """All operands of a node that is supported on constants only."""
        found = [None if v is None else v.array for v in self.inputs]
        arrays = [a for a in found if a is not None]
        if len(arrays) != len(self.inputs):
            self.refuse("works on the data; it is supported on constants only")
        return arrays

    def producer(self, value: Value) -> Op | None:
        """The layer that computes a value, None for constants."""
        return None if value.array is not None else self._builder.graph.get(value.name)

    @property
    def is_constant(self) -> bool:
        """Whether every operand is known."""
        return all(v is None or v.array is not None for v in self.inputs)

    # -- results ----------------------------------------------------------

    def emit(self, op: Op, *operands: Value | Array | None) -> Value:
        """Add an op that reads these operands; folded when all of them are constant.

        The op's name must be `layer`, `layer_of(…)` or `helper(…)`.
        """
        values = [
            Value.of(v, f"{op.name}_operand{i}") if isinstance(v, np.ndarray) else v
            for i, v in enumerate(operands)
        ]
        sources = {self.layer_of(i): tensor for i, tensor in enumerate(self.outputs) if tensor}
        source = sources.get(op.name, "") if self._shown else ""
        return self._builder.emit(op.with_(source=source), values)

    def fold(self, array: Any) -> Value:
        """A computed constant as the node's result."""
        return Value.of(np.asarray(array), self.outputs[0])

    def will_compute(self, shape: Shape) -> None:
        """To be called before a constant of that shape is computed; ModelError if absurd."""
        check_elements(shape, f"the result of {self.where}")
        given = sum(v.elements for v in self.inputs if v is not None)
        self._builder.budget(int(np.prod(shape, dtype=np.int64)), given, self.where)

    # -- axes --------------------------------------------------------------------

    def axes(self, values: Sequence[int], rank: int) -> tuple[int, ...]:
        """Several axes, sorted."""
        axes = sorted(self.axis(v, rank) for v in values)
        if len(set(axes)) != len(axes):
            self.broken(f"axes {tuple(values)} name one dimension twice")
        return tuple(axes)

    def axes_in_order(self, values: Sequence[int], rank: int) -> list[int]:
        """Several axes, non-negative, in the order given."""
        self.axes(values, rank)
        return [self.axis(v, rank) for v in values]
