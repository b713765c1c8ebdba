"""From a Caffe network to a float Graph."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from cvi.cut import Step, advice, cut_before
from cvi.errors import CviError, InputError, ModelError, UnsupportedError
from cvi.ir import Graph, Input
from cvi.ops import Reshape
from cvi_frontend_caffe.blobs import Blobs
from cvi_frontend_caffe.builder import Builder
from cvi_frontend_caffe.inputs import DATA, Feeds, feeds, fixed
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.magnitude import Magnitude, estimated
from cvi_frontend_caffe.net import Net, NetLayer
from cvi_frontend_caffe.order import Plan, plan
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.registry import Converter
from cvi_frontend_caffe.values import Value

_MALFORMED = (
    ValueError, TypeError, IndexError, KeyError, OverflowError, ArithmeticError,
    AssertionError, RecursionError, MemoryError, UnicodeDecodeError,
)  # fmt: skip
"""What numpy and protobuf raise when a layer's content contradicts itself."""

_WITH_PARAMS = {"Eltwise": "eltwise_param", "Power": "power_param"}


class Importer:
    """Imports one network.

    blobs: the weights. layers: those that are imported. results: what each of them gives.
    values: what every blob holds after the layers so far (layers may overwrite a blob).
    problems: the refused layers in the order of the file; what depends on their results is
    left out, and checked no further.
    """

    def __init__(self, net: Net, converters: Mapping[str, Converter], blobs: Blobs) -> None:
        self.net = net
        self.values: dict[str, Value] = {}
        self._refused: dict[str, str] = {}
        self._sizes: dict[str, Magnitude] = {}
        self._converters = converters
        self.blobs = blobs
        self.layers: tuple[NetLayer, ...] = ()
        self.results: dict[str, list[Value]] = {}
        self._batch: tuple[int, int] | None = None
        self._builder = Builder(net.name, frozenset(layer.name for layer in net.layers))

    @property
    def problems(self) -> list[str]:
        return list(self._refused.values())

    def run(
        self,
        *,
        batch: int | None = None,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Graph:
        """The graph; UnsupportedError lists every layer that cannot be imported."""
        given = feeds(self.net)
        chosen = plan(self.net, given, outputs)
        self.layers = chosen.layers
        self._report(chosen)
        self._add_inputs(given, chosen, batch, input_shapes or {})
        for layer in chosen.layers:
            self._convert(layer)
        if self.problems:
            raise self._unsupported(chosen)
        self._check_weights()
        return self._finish(chosen)

    def _report(self, chosen: Plan) -> None:
        """Warn of what the file says and we do not know, and of layers that are left out."""
        unknown = [*self.net.unknown, *(u for layer in chosen.layers for u in layer.unknown)]
        if unknown:
            lines = ", ".join(f"{u.name} (line {u.line})" for u in unknown[:20])
            more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
            warnings.warn(f"unknown and ignored: {lines}{more}", stacklevel=4)
        if chosen.left_out:
            names = ", ".join(layer.where for layer in chosen.left_out[:20])
            warnings.warn(f"left out, for they only serve training: {names}", stacklevel=4)

    def _add_inputs(
        self,
        given: Feeds,
        chosen: Plan,
        batch: int | None,
        input_shapes: Mapping[str, Sequence[int]],
    ) -> None:
        read = {n: s for n, s in given.shapes.items() if n in chosen.inputs or n in input_shapes}
        shapes = fixed(read, batch=batch, given=input_shapes)
        first = next(iter(shapes), "")
        if first and read[first] and read[first][0] != shapes[first][0]:
            self._batch = read[first][0], shapes[first][0]
        for name, shape in shapes.items():
            self.values[name] = self._builder.input(name, shape)
        self.values |= {name: Value.of(array) for name, array in given.constants.items()}

    # -- layers -----------------------------------------------------------

    def _convert(self, net: NetLayer) -> None:
        if net.type in DATA:
            return
        if any(name not in self.values for name in net.bottoms):
            self._forget(net)
            return
        try:
            results = self._results(net)
        except UnsupportedError as error:
            self._refused[net.name] = f"{net.where}: {error.why}"
            self._forget(net)
            return
        except CviError as error:
            error.where = net.where
            error.fix = error.fix or "check --batch and --input-shape, or the file"
            raise
        except _MALFORMED as error:
            raise ModelError(
                f"its parameters and bottoms do not fit together ({error})",
                where=net.where,
                fix="check the file, or download it again",
            ) from error
        self.results[net.name] = results
        self.values.update(zip(net.tops, results, strict=False))
        self._estimate(net)

    def _forget(self, net: NetLayer) -> None:
        """What a refused layer would have computed, and overwritten, is not known."""
        for top in net.tops:
            self.values.pop(top, None)

    def _results(self, net: NetLayer) -> list[Value]:
        essential = [u for u in net.unknown if u.essential]
        if net.type not in self._converters:
            raise UnsupportedError("layers of this type are not supported")
        if essential:
            names = ", ".join(u.name.partition(".")[2] for u in essential)
            raise UnsupportedError(f"{names} is not known")
        bottoms = [self.values[name] for name in net.bottoms]
        rms = [self._size(name).rms for name in net.bottoms] or [1.0]
        layer = Layer(net, bottoms, rms, self.blobs, self._builder, self._batch)
        with np.errstate(all="ignore"):
            result = self._converters[net.type](layer)
        if layer.unread:
            raise UnsupportedError(f"the parameter {', '.join(layer.unread)} is not supported")
        if layer.unread_blobs:
            raise ModelError(
                f"has {layer.stored_blobs} blobs of weights in the file, more than it needs",
                fix="give the .caffemodel that belongs to this network",
            )
        results = [result] if isinstance(result, Value) else list(result)
        if len(results) < len(net.tops):
            raise UnsupportedError(f"its top {net.tops[len(results)]!r} is not supported")
        return results

    def _estimate(self, net: NetLayer) -> None:
        """How large the results are, for the random weights of the layers behind."""
        if not self.blobs.random:
            return
        name = _WITH_PARAMS.get(net.type)
        param = Params(getattr(net.proto, name)) if name else None
        size = estimated(net.type, [self._size(blob) for blob in net.bottoms], param)
        self._sizes.update(dict.fromkeys(net.tops, size))

    def _size(self, blob: str) -> Magnitude:
        return self._sizes.get(blob, Magnitude())

    # -- what comes out ---------------------------------------------------

    def _unsupported(self, chosen: Plan) -> UnsupportedError:
        count = len(self.problems)
        layers, them = ("layer", "it") if count == 1 else ("layers", "them")
        ends = self._before_refused(chosen)
        cut = advice(ends) or f"cut the network before {them} with --outputs LAYER…"
        return UnsupportedError(
            f"{count} {layers} of the network cannot be imported",
            fix=f"{cut}, or add a plugin for {them} (`cvi plugins` lists what is installed)",
            problems=self.problems,
            outputs=ends,
        )

    def _before_refused(self, chosen: Plan) -> list[str]:
        """The last results of data before the refused layers."""
        writer: dict[str, str] = {}
        steps = []
        for layer in chosen.layers:
            reads = tuple(writer[blob] for blob in layer.bottoms if blob in writer)
            gives = layer.results
            known = self.results.get(layer.name, [])
            if not known or any(value.array is None for value in known):
                masks = [bool(value.positions) for value in known] or [False] * len(gives)
                names = tuple("" if m else n for m, n in zip(masks, gives, strict=False))
                steps.append(Step(reads, gives, names, layer.name not in self._refused))
            writer.update(zip(layer.tops, gives, strict=False))
        of = {layer.name: layer.results for layer in chosen.layers}
        return cut_before(steps, [of[name][index] for name, index in chosen.outputs])

    def _check_weights(self) -> None:
        missing = self.blobs.missing
        if missing:
            shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            raise InputError(
                f"there are no weights for {len(missing)} layers: {shown}",
                where="--weights",
                fix="name the .caffemodel that belongs to this network; --random-weights SEED "
                "draws weights, to try an architecture",
            )

    def _finish(self, chosen: Plan) -> Graph:
        graph = self._builder.graph
        values = [self.results[layer][index] for layer, index in chosen.outputs]
        names = [
            self._output(value, layer)
            for value, (layer, _) in zip(values, chosen.outputs, strict=True)
        ]
        graph.outputs = tuple(dict.fromkeys(names))
        graph.check()
        return graph

    def _output(self, value: Value, layer: str) -> str:
        if value.array is not None:
            raise UnsupportedError(
                "this output does not depend on any input: it is a constant",
                where=layer,
                fix="name the other outputs with --outputs",
            )
        graph = self._builder.graph
        if not isinstance(graph[value.name], Input):
            return value.name
        op = Reshape(name=graph.fresh(layer), shape=value.shape, inputs=(value.name,))
        return graph.add(op).name
