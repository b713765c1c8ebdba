"""From a ModelProto to a float Graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cvi.cut import Step, advice, cut_before
from cvi.errors import CviError, ModelError, UnsupportedError
from cvi.importing.constants import check_elements
from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Reshape
from cvi_frontend_onnx.attributes import Attributes
from cvi_frontend_onnx.builder import Builder
from cvi_frontend_onnx.layout import absorb_transposes, nhwc_inputs
from cvi_frontend_onnx.model import check_names, opsets
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.order import choose_outputs, execution_order, layer_names, reads
from cvi_frontend_onnx.registry import Converter
from cvi_frontend_onnx.shapes import InputShapes, declared_shape, fix_shapes
from cvi_frontend_onnx.tensors import Tensors, element_type
from cvi_frontend_onnx.values import Indices, Value, is_float

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_MALFORMED = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    ArithmeticError,
    AssertionError,
    RecursionError,
    MemoryError,
)
"""What numpy, protobuf and onnx raise when a node's content contradicts itself."""


class Importer:
    """Imports one model.

    values: what is known of every ONNX tensor so far.
    problems: the refused nodes in the order of the file; their results are stand-ins so
    that the nodes behind them can be checked too.
    """

    def __init__(
        self, model: ModelProto, converters: Mapping[str, Converter], *, name: str, folder: Path
    ) -> None:
        self.model = model
        self.values: dict[str, Value] = {}
        self._refused: dict[int, str] = {}
        self._converters = converters
        self._tensors = Tensors(folder)
        check_names(model.graph)
        self._opsets = opsets(model)
        reserved = frozenset(n for node in model.graph.node for n in layer_names(node) if n)
        self._builder = Builder(name, reserved)
        self._batch: tuple[int, int] | None = None

    @property
    def problems(self) -> list[str]:
        return [self._refused[index] for index in sorted(self._refused)]

    def run(
        self,
        *,
        batch: int | None = None,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Graph:
        """The graph; UnsupportedError lists every node that cannot be imported."""
        graph = self.model.graph
        shapes = self._input_shapes(batch, input_shapes or {})
        self._batch = shapes.batch
        tensors = choose_outputs(graph, outputs)
        initializers = {t.name for t in graph.initializer}
        initializers |= {t.values.name for t in graph.sparse_initializer}
        order = execution_order(graph, tensors, initializers | set(shapes.shapes))
        self._check_known(order)
        self._add_inputs(shapes)
        self._add_initializers(order, tensors)
        for index in order:
            self._convert(graph.node[index], index)
        if self.problems:
            raise self._unsupported(order, tensors)
        return self._finish(tensors)

    # -- what goes in -----------------------------------------------------

    def _input_shapes(self, batch: int | None, given: Mapping[str, Sequence[int]]) -> InputShapes:
        graph = self.model.graph
        initializers = {t.name for t in graph.initializer}
        declared = {i.name: declared_shape(i) for i in graph.input if i.name not in initializers}
        shapes = fix_shapes(declared, batch=batch, given=given)
        for name, shape in shapes.shapes.items():
            check_elements(shape, f"the input {name!r}")
        return shapes

    def _check_known(self, order: Sequence[int]) -> None:
        """List the nodes without a converter, before any other work."""
        for index in order:
            node = self.model.graph.node[index]
            if _op_name(node) not in self._converters:
                self._refused[index] = f"{_where(node)}: the op is not supported"

    def _add_inputs(self, shapes: InputShapes) -> None:
        by_name = {i.name: i for i in self.model.graph.input}
        for name, shape in shapes.shapes.items():
            dtype = element_type(by_name[name].type.tensor_type.elem_type, f"input {name!r}")
            if not name:
                raise ModelError("an input has no name")
            kind = "" if is_float(dtype) else dtype.name
            op = Input(name=name, type=TensorType(shape, DType.FP32), source=name, file_dtype=kind)
            self._builder.graph.add(op)
            self.values[name] = Value(name, shape, dtype)

    def _add_initializers(self, order: Sequence[int], outputs: Sequence[str]) -> None:
        graph = self.model.graph
        used = {name for i in order for name in reads(graph.node[i])} | set(outputs)
        for tensor in graph.initializer:
            if tensor.name in used and tensor.name not in self.values:
                self._add_initializer(tensor)
        for i, sparse in enumerate(graph.sparse_initializer):
            if sparse.values.name in used:
                self._refused[-1 - i] = f"initializer {sparse.values.name!r}: is sparse"

    def _add_initializer(self, tensor: TensorProto) -> None:
        array = self._tensors.array(tensor, f"initializer {tensor.name!r}")
        self.values[tensor.name] = Value.of(array, tensor.name)

    # -- nodes ------------------------------------------------------------

    def _convert(self, proto: NodeProto, index: int, inside: bool = False) -> None:
        """Convert one node. index: its place in the file, or that of the node around it."""
        where = _where(proto)
        if any(name and name not in self.values for name in reads(proto)):
            return  # behind a refused node of unknown shape
        if _op_name(proto) not in self._converters:
            self._refused.setdefault(index, f"{where}: the op is not supported")
            self._stand_in(proto)
            return
        try:
            results = self._results(proto, where, index, inside)
        except UnsupportedError as error:
            self._refused.setdefault(index, f"{where}: {error.why}")
            self._stand_in(proto)
            return
        except CviError as error:
            error.where = where
            error.fix = error.fix or "check --batch and --input-shape, or export the model again"
            raise
        except _MALFORMED as error:
            raise ModelError(
                f"its operands and attributes do not fit together ({error})",
                where=where,
                fix="check the model with onnx.checker, or export it again",
            ) from error
        for name, value in zip(proto.output, results, strict=False):
            if name:
                self.values[name] = value

    def _inline(self, graph: GraphProto, index: int) -> list[Value]:
        """The outputs of a branch, whose nodes become part of the network."""
        for tensor in graph.initializer:
            self._add_initializer(tensor)
        for node in graph.node:
            self._convert(node, index, inside=True)
        missing = [value.name for value in graph.output if value.name not in self.values]
        if missing:
            raise UnsupportedError(f"its branch does not give {', '.join(missing)}")
        return [self.values[value.name] for value in graph.output]

    def _results(self, proto: NodeProto, where: str, index: int, inside: bool) -> Sequence[Value]:
        attributes = Attributes(proto, self._tensors, where)
        inputs = [self.values[name] if name else None for name in proto.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        if not proto.output:
            raise ModelError("the node has no output")
        node = Node(
            op_type=_op_name(proto),
            opset=self._opsets.get(_domain(proto), 1),
            where=where,
            inputs=inputs,
            outputs=proto.output,
            attributes=attributes,
            builder=self._builder,
            batch=self._batch,
            inline=lambda graph: self._inline(graph, index),
            shown=not inside,
        )
        with np.errstate(all="ignore"):
            result = self._converters[node.op_type](node)
        if attributes.unread:
            names = ", ".join(attributes.unread)
            raise UnsupportedError(f"the attribute {names} is not supported")
        results = [result] if isinstance(result, Value) else list(result)
        self._check_outputs(proto, results)
        return results

    def _check_outputs(self, proto: NodeProto, results: Sequence[Value]) -> None:
        """Refuse outputs that the converter does not give, if anybody reads them, and
        indices that anything but a MaxUnpool reads."""
        given = zip(proto.output, results, strict=False)
        indices = {name for name, value in given if name and isinstance(value, Indices)}
        extra = {name for name in proto.output[len(results) :] if name}
        if not extra and not indices:
            return
        wanted = sorted(extra & self._read() | indices & self._read(besides="MaxUnpool"))
        if wanted:
            raise UnsupportedError(f"its output {', '.join(wanted)} is not supported")

    def _read(self, besides: str = "") -> set[str]:
        """Tensors that are outputs of the model or operands of nodes of other kinds."""
        graph = self.model.graph
        nodes = (node for node in graph.node if node.op_type != besides)
        return {n for node in nodes for n in node.input} | {o.name for o in graph.output}

    def _stand_in(self, proto: NodeProto) -> None:
        """Give the results of a refused node a shape, so that its users can be checked."""
        from cvi_frontend_onnx.infer import output_types

        inputs = [self.values[name] if name else None for name in proto.input]
        types = output_types(proto, inputs, self._opsets)
        for name, known in types.items():
            layer = self._builder.graph.fresh(f"{name}_{proto.op_type}")
            self._builder.graph.add(Input(name=layer, type=TensorType(known[0], DType.FP32)))
            self.values[name] = Value(layer, *known)

    # -- what comes out ---------------------------------------------------

    def _unsupported(self, order: Sequence[int], tensors: Sequence[str]) -> UnsupportedError:
        count = len(self.problems)
        nodes, them = ("node", "it") if count == 1 else ("nodes", "them")
        ends = self._before_refused(order, tensors)
        cut = advice(ends) or f"cut the model before {them} with --outputs TENSOR…"
        return UnsupportedError(
            f"{count} {nodes} of the model cannot be imported",
            fix=f"{cut}, or add a plugin for {them} (`cvi plugins` lists what is installed)",
            problems=self.problems,
            outputs=ends,
        )

    def _before_refused(self, order: Sequence[int], tensors: Sequence[str]) -> list[str]:
        """The last tensors of data before the refused nodes."""
        nodes = self.model.graph.node
        steps = []
        for index in order:
            gives = tuple(filter(None, nodes[index].output))
            known = [self.values.get(name) for name in gives]
            constant = all(v is not None and v.array is not None for v in known)
            if not constant or index in self._refused:
                kept = index not in self._refused
                steps.append(Step(tuple(reads(nodes[index])), gives, gives, kept))
        return cut_before(steps, tensors)

    def _finish(self, tensors: Sequence[str]) -> Graph:
        graph = self._builder.graph
        layers = [self._output_layer(tensor) for tensor in tensors]
        graph.outputs = tuple(dict.fromkeys(layers))
        if not graph.outputs:
            raise ModelError("the model has no output")
        graph.check()
        return absorb_transposes(graph, nhwc_inputs(self.model.graph))

    def _output_layer(self, tensor: str) -> str:
        value = self.values[tensor]
        if value.array is not None:
            raise UnsupportedError(
                "this output does not depend on any input: it is a constant",
                where=tensor,
                fix="name the other outputs with --outputs",
            )
        if value.grid is not None:
            raise UnsupportedError(
                "this output is held in integers of the model's own quantisation",
                where=tensor,
                fix="name the tensor before its QuantizeLinear with --outputs",
            )
        graph = self._builder.graph
        if not isinstance(graph[value.name], Input):
            return value.name
        name = graph.fresh(f"{tensor}_Identity")
        op = Reshape(name=name, shape=value.shape, inputs=(value.name,), source=tensor)
        return graph.add(op).name


def _domain(node: NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else node.domain


def _op_name(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if _domain(node) else node.op_type


def _where(node: NodeProto) -> str:
    """How a user finds the node: its type, its name and its first output."""
    output = next(iter(node.output), "")
    label = f"{node.name!r} -> {output!r}" if node.name else repr(output)
    return f"{_op_name(node)} {label}"
