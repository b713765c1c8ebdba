"""From the content of a TFLite file to a float Graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cvi.calibrate.table import Threshold
from cvi.errors import CviError, ModelError, UnsupportedError
from cvi.importing.constants import MAX_COMPUTED, check_elements
from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Permute, Reshape
from cvi.passes.dead_code import RemoveDeadCode
from cvi_frontend_tflite.builder import Builder
from cvi_frontend_tflite.inputs import fixed_shapes, input_order
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.outputs import choose_outputs, layer_names, needed_ops
from cvi_frontend_tflite.reader import DAMAGED
from cvi_frontend_tflite.registry import Converter
from cvi_frontend_tflite.schema import Model, Operator
from cvi_frontend_tflite.tensors import constant, element_type
from cvi_frontend_tflite.values import (
    IMAGE,
    Order,
    Value,
    in_order,
    inverse,
    usual_order,
)


class Importer:
    """Imports one model.

    values: what is known of every tensor so far, by index.
    problems: the refused ops in the order of the file; their results are stand-ins so
    that the ops behind them can be checked too.
    """

    def __init__(self, model: Model, converters: Mapping[str, Converter], *, name: str) -> None:
        self.model = model
        self.values: dict[int, Value] = {}
        self._converters = converters
        self._refused: dict[int, str] = {}
        self._layers = layer_names(model)
        names = {model.input_name(t) for t in model.inputs}
        self._builder = Builder(name, frozenset(self._layers.values()) | names)
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
        """The graph; UnsupportedError lists every op that cannot be imported."""
        tensors = choose_outputs(self.model, self._layers, outputs)
        constants = self.model.constants() - set(self.model.inputs)
        states = {t.index for t in self.model.tensors if t.variable} - constants
        order = needed_ops(self.model, tensors, constants | states | set(self.model.inputs))
        self._check_known(order)
        self._add_constants(order, constants)
        self._add_states(states)
        self._add_inputs(batch, input_shapes or {})
        for index in order:
            self._convert(self.model.operators[index])
        if self._refused:
            raise self._unsupported()
        return self._finish(tensors)

    # -- what goes in -----------------------------------------------------

    def _check_known(self, order: Sequence[int]) -> None:
        """List the ops without a converter, before any other work."""
        for index in order:
            op = self.model.operators[index]
            if op.name not in self._converters:
                kind = "custom op" if op.custom else "op"
                self._refused[index] = f"{self._where(op)}: the {kind} is not supported"

    def _add_constants(self, order: Sequence[int], constants: set[int]) -> None:
        read = {t for i in order for t in self.model.operators[i].inputs if t in constants}
        for index in sorted(read):
            tensor = self.model.tensors[index]
            try:
                self.values[index] = Value.of(constant(self.model, tensor), tensor.name)
            except UnsupportedError as error:
                self._refused[-1 - index] = error.why

    def _add_states(self, states: set[int]) -> None:
        """What the model keeps from one inference to the next: zero before the first."""
        for index in states:
            tensor = self.model.tensors[index]
            check_elements(tensor.shape, f"the state {tensor.name!r}", MAX_COMPUTED)
            zero = np.broadcast_to(np.float32(0), tensor.shape)
            self.values[index] = Value.of(zero, tensor.name)

    def _add_inputs(self, batch: int | None, given: Mapping[str, Sequence[int]]) -> None:
        known = {
            i: tuple(int(n) for n in v.array.ravel())
            for i, v in self.values.items()
            if v.array is not None and v.array.dtype.kind in "iu" and v.shape == (4,)
        }
        orders = {t: input_order(self.model, t, known) for t in self.model.inputs}
        shapes, self._batch = fixed_shapes(self.model, orders, batch=batch, given=given)
        for index, shape in shapes.items():
            tensor = self.model.tensors[index]
            name, order = self.model.input_name(index), orders[index]
            value = Value(name, shape, element_type(tensor), order)
            kind = TensorType(value.carried, DType.FP32)
            layer = Input(name=name, type=kind, source=tensor.name)
            if order == IMAGE:
                layer = layer.with_(file_layout="NHWC")
            if not value.is_float:
                layer = layer.with_(file_dtype=str(value.dtype))
            self._builder.graph.add(layer)
            self.values[index] = value

    # -- ops --------------------------------------------------------------

    def _convert(self, op: Operator) -> None:
        if any(i >= 0 and i not in self.values for i in op.inputs):
            return  # behind a refused op of unknown shape
        if op.name not in self._converters:
            self._stand_in(op)
            return
        try:
            results = self._results(op)
        except UnsupportedError as error:
            self._refused[op.index] = f"{self._where(op)}: {error.why}"
            self._stand_in(op)
            return
        except CviError as error:
            error.where = self._where(op)
            error.fix = error.fix or "check --batch and --input-shape, or export the model again"
            raise
        except DAMAGED as error:
            raise ModelError(
                f"its operands and options do not fit together ({error})",
                where=self._where(op),
                fix="export the model again",
            ) from error
        self.values.update(zip(op.outputs, results, strict=False))

    def _results(self, op: Operator) -> Sequence[Value]:
        if not op.outputs:
            raise ModelError("the op has no result")
        node = Node(
            name=op.name,
            where=self._where(op),
            inputs=[self.values[i] if i >= 0 else None for i in op.inputs],
            outputs=[self.model.tensors[i].name for i in op.outputs],
            layers=[self._layers[i] for i in op.outputs],
            options=op.options,
            builder=self._builder,
            types=[self.model.tensors[i].type for i in op.outputs],
            input_types=[self.model.tensors[i].type if i >= 0 else "" for i in op.inputs],
            batch=self._batch,
        )
        start = len(self._builder.graph.ops)
        with np.errstate(all="ignore"):
            result = self._converters[op.name](node)
        results = [result] if isinstance(result, Value) else list(result)
        for value, name in zip(results, node.outputs, strict=False):
            self._builder.settle(start, value, name)
        self._check_outputs(op, len(results))
        return results

    def _check_outputs(self, op: Operator, count: int) -> None:
        """Refuse results that the converter does not give, if anybody reads them."""
        extra = set(op.outputs[count:])
        read = {t for other in self.model.operators for t in other.inputs}
        wanted = sorted(extra & (read | set(self.model.outputs)))
        if wanted:
            names = ", ".join(self.model.tensors[t].name for t in wanted)
            raise UnsupportedError(f"its result {names} is not supported")

    def _stand_in(self, op: Operator) -> None:
        """Give the results of a refused op the shapes that the file tells."""
        for index in op.outputs:
            tensor = self.model.tensors[index]
            if min(tensor.shape, default=1) < 1 or index in self.values:
                continue
            order = usual_order(len(tensor.shape))
            value = Value("", tensor.shape, np.dtype(np.float32), order)
            layer = self._builder.graph.fresh(self._layers[index])
            check_elements(tensor.shape, f"the result of {self._where(op)}")
            self._builder.graph.add(Input(name=layer, type=value.type))
            self.values[index] = Value(layer, value.shape, value.dtype, order)

    # -- what comes out -----------------------------------------------------

    def _unsupported(self) -> UnsupportedError:
        count = len(self.problems)
        parts, them = ("part", "it") if count == 1 else ("parts", "them")
        return UnsupportedError(
            f"{count} {parts} of the model cannot be imported",
            fix=f"cut the model before {them} with --outputs TENSOR…, or add a plugin for {them}",
            problems=self.problems,
        )

    def _finish(self, tensors: Sequence[int]) -> Graph:
        turned = {t: self._in_order(t) for t in tensors if self._is_turned(t)}
        given = [(t, turned.get(t) or self.values[t]) for t in tensors]
        outputs = tuple(dict.fromkeys(self._output_layer(t, value) for t, value in given))
        graph = self._builder.graph
        graph.outputs = outputs
        if not graph.outputs:
            raise ModelError("the model has no output")
        graph.thresholds = self.thresholds()
        graph.check()
        return RemoveDeadCode().apply(graph)

    def _is_turned(self, index: int) -> bool:
        """Whether the layer of an output holds it neither in order nor as an image."""
        value = self.values[index]
        return value.array is None and value.order not in (in_order(value.rank), IMAGE)

    def _output_layer(self, index: int, value: Value) -> str:
        """The layer of an output under the name that it should have."""
        tensor = self.model.tensors[index]
        if value.array is not None:
            raise UnsupportedError(
                "this output does not depend on any input: it is a constant",
                where=tensor.name,
                fix="name the other outputs with --outputs",
            )
        graph = self._builder.graph
        named = self.model.signature_outputs.get(index, value.name)
        if named == value.name and not isinstance(graph[value.name], Input):
            return value.name
        name = graph.fresh(named if named != value.name else f"{tensor.name}_IDENTITY")
        op = Reshape(name=name, shape=value.carried, inputs=(value.name,), source=tensor.name)
        return graph.add(op).name

    def _in_order(self, index: int) -> Value:
        """An output in a layer of its own shape, which bears the name that the output should
        have. The layer that holds it in another order goes on to stand for the tensor of the
        model, so that the orders of layers do not depend on where the network is cut."""
        tensor = self.model.tensors[index]
        if self._builder.graph[self.values[index].name].source == tensor.name:
            name = self.values[index].name
            self._rename(name, self._builder.graph.fresh(f"{name}_held"))
        else:
            name = self._builder.graph.fresh(self._layers.get(index, f"{tensor.name}_IDENTITY"))
        value = self.values[index]
        turn = Permute(name=name, order=inverse(value.order), inputs=(value.name,))
        self._builder.graph.add(turn)
        return Value(name, value.shape, value.dtype, in_order(value.rank))

    def _rename(self, old: str, new: str) -> None:
        """Call a layer otherwise."""
        graph = self._builder.graph
        ops = [
            op.with_(
                name=new if op.name == old else op.name,
                inputs=tuple(new if name == old else name for name in op.inputs),
            )
            for op in graph.ops
        ]
        self._builder.graph = graph.replace(ops=ops)
        for index, value in self.values.items():
            if value.array is None and value.name == old:
                self.values[index] = replace(value, name=new)

    def orders(self) -> dict[str, Order]:
        """How the layer of every computed tensor holds it, by tensor name."""
        tensors = self.model.tensors
        return {tensors[i].name: v.order for i, v in self.values.items() if v.array is None}

    def thresholds(self) -> dict[str, Threshold]:
        """What the scales of an integer model say of its layers: the largest magnitude that
        the stored type can hold."""
        found: dict[str, Threshold] = {}
        for index, value in self.values.items():
            ends = self.model.tensors[index].range() if value.array is None else None
            if ends is not None and max(map(abs, ends)) > 0:
                given = Threshold(max(map(abs, ends)), *ends).rounded()
                found.setdefault(value.name, given)
        for name in self._builder.graph.outputs:
            op = self._builder.graph[name]
            if name not in found and op.inputs and op.inputs[0] in found:
                found[name] = found[op.inputs[0]]
        return found

    def _where(self, op: Operator) -> str:
        """How a user finds the op: its kind and its first result."""
        tensor = self.model.tensors[op.outputs[0]].name if op.outputs else f"op {op.index}"
        return f"{op.name} {tensor!r}"
