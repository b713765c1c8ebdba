"""Any float Graph as an ONNX model: to run in onnxruntime, to look at in Netron."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cvi.errors import UnsupportedError
from cvi.ir import Array, DType, Graph, Input, Op
from cvi.ops import Movement
from cvi.ops.lookup import WHOLE

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

OPSET = 20
_IR_VERSION = 9
_LARGE = 1 << 12  # bytes


def to_onnx(
    graph: Graph,
    outputs: Sequence[str] | None = None,
    *,
    outside: dict[str, Array] | None = None,
) -> ModelProto:
    """The graph in ONNX (opset 20); tensors have the names of the layers.

    outputs: layers to give out instead of the graph's own. outside: takes the large weights,
    which are left out of the model then: whoever makes a session gives them to it. A fused relu
    becomes a node of its own. UnsupportedError lists every op that has no ONNX form.
    """
    from onnx import helper

    writer = Writer(graph, outside)
    problems = [f"{op.kind} {op.name}" for op in graph if not _exportable(op)]
    if problems:
        raise UnsupportedError("some layers have no ONNX form", problems=problems)
    for op in graph:
        if not isinstance(op, Input):
            exporters()[type(op)](writer, op)
    names = list(dict.fromkeys(graph.outputs if outputs is None else outputs))
    proto = helper.make_graph(
        writer.nodes,
        graph.name or "graph",
        [_info(op) for op in graph.inputs],
        [_info(graph[name]) for name in names],
        writer.initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        proto, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="cvi"
    )


class Writer:
    """Collects nodes and initialisers. Names that start with "~" are auxiliary."""

    def __init__(self, graph: Graph, outside: dict[str, Array] | None = None) -> None:
        self.graph = graph
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._outside = outside
        used = {name for op in graph for name in op.inputs}
        for name, array in graph.constants.items():
            if name in used:
                self._initialise(name, array)

    def constant(self, op: Op, suffix: str, array: Array) -> str:
        name = f"~{op.name}~{suffix}"
        self._initialise(name, array)
        return name

    def _initialise(self, name: str, array: Array) -> None:
        from onnx import TensorProto, numpy_helper

        array = np.ascontiguousarray(array)
        if self._outside is None or array.dtype != np.float32 or array.nbytes < _LARGE:
            self.initializers.append(numpy_helper.from_array(array, name))
            return
        self._outside[name] = array
        tensor = TensorProto(
            name=name,
            dims=array.shape,
            data_type=TensorProto.FLOAT,
            data_location=TensorProto.EXTERNAL,
        )
        place = {"location": "outside", "offset": "0", "length": str(array.nbytes)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=value)
        self.initializers.append(tensor)

    def integers(self, op: Op, suffix: str, values: Sequence[int]) -> str:
        return self.constant(op, suffix, np.array(values, np.int64))

    def scalar(self, op: Op, suffix: str, value: float) -> str:
        return self.constant(op, suffix, np.array(value, np.float32))

    def vector(self, op: Op, operand: int) -> str:
        """A constant of one value per channel in a shape that broadcasts along axis 1 of x."""
        dims = len(self.graph.type_of(op.inputs[0]).shape)
        shape = (-1, *(1,) * (dims - 2)) if dims > 1 else (1,)
        wanted = self.integers(op, f"shape{operand}", shape)
        return self.node("Reshape", [op.inputs[operand], wanted], f"~{op.name}~vector{operand}")

    def node(
        self, op_type: str, inputs: Sequence[str], output: str, *, second: str = "",
        **attributes: Any,
    ) -> str:  # fmt: skip
        """Add a node; returns its output's name. second: the name of a second output."""
        outputs = [output, second] if second else [output]
        self.node_of_many(op_type, inputs, outputs, output, **attributes)
        return output

    def node_of_many(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        name: str,
        **attributes: Any,
    ) -> None:
        """Add a node with several outputs, "" for those that nobody wants."""
        from onnx import helper

        self.nodes.append(helper.make_node(op_type, inputs, outputs, name, **attributes))

    def last(self, op_type: str, inputs: Sequence[str], op: Op, **attributes: Any) -> None:
        """The node that computes the layer, followed by its fused relu if it has one."""
        relu = getattr(op, "relu", False)
        maximum = getattr(op, "relu_max", None)
        if not relu:
            self.node(op_type, inputs, op.name, **attributes)
            return
        linear = self.node(op_type, inputs, f"~{op.name}~linear", **attributes)
        clamp(self, op, linear, maximum)


def clamp(writer: Writer, op: Op, x: str, maximum: float | None) -> None:
    """max(x, 0), and at most `maximum`, as the layer's result."""
    if maximum is None:
        writer.node("Relu", [x], op.name)
        return
    limits = [writer.scalar(op, "zero", 0.0), writer.scalar(op, "maximum", maximum)]
    writer.node("Clip", [x, *limits], op.name)


Exporter = Callable[[Writer, Any], None]

_EXPORTERS: dict[type[Op], Exporter] = {}


def exports(*kinds: type[Op]) -> Callable[[Exporter], Exporter]:
    """Register the function that writes ops of these classes."""

    def register(exporter: Exporter) -> Exporter:
        for kind in kinds:
            _EXPORTERS[kind] = exporter
        return exporter

    return register


@functools.cache
def exporters() -> Mapping[type[Op], Exporter]:
    """How each float op is written."""
    from cvi_frontend_onnx import export_ops, export_recurrent  # noqa: F401

    return _EXPORTERS


def _exportable(op: Op) -> bool:
    known = isinstance(op, Input) or type(op) in exporters()
    indices = isinstance(op, (Input, Movement)) and op.type.dtype in WHOLE
    return known and (op.type.dtype is DType.FP32 or indices)


def _info(op: Op) -> ValueInfoProto:
    from onnx import helper

    element = helper.np_dtype_to_tensor_dtype(op.type.dtype.numpy)
    return helper.make_tensor_value_info(op.name, element, op.type.shape)
