"""Reference inference: the network itself in OpenCV, every layer that it can run.

The whole file is given to OpenCV as it is. When OpenCV refuses it, or is known to compute
one of its layers in another way than Caffe, the layers are run one by one instead, each on
what the layers before gave; where OpenCV has no result, our own value takes its place, so
that the layers behind can still be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cvi.errors import InputError
from cvi.hookspecs import ReferenceTensors
from cvi.ir import Array, Graph
from cvi_frontend_caffe import schema
from cvi_frontend_caffe.differences import difference, in_its_words, renamed
from cvi_frontend_caffe.importer import Importer
from cvi_frontend_caffe.inputs import feeds
from cvi_frontend_caffe.net import NetLayer, is_text
from cvi_frontend_caffe.opencv import Refused, run_network
from cvi_frontend_caffe.values import Value
from cvi_frontend_caffe.writer import caffemodel, net_text

if TYPE_CHECKING:
    from cvi_frontend_caffe.frontend import CaffeFrontend


def run_reference(
    frontend: CaffeFrontend,
    path: Path,
    inputs: Mapping[str, Array],
    weights: Path | None,
    tensors: Sequence[str] | None,
) -> ReferenceTensors:
    """The asked results (None: all) by layer, `<layer>_<i>` where a layer has several tops."""
    layers = None if tensors is None else [name for name in tensors if name not in inputs]
    imported, graph = frontend.imported(path, weights, inputs, layers or None)
    chain = _Chain(imported, graph, inputs)
    results = chain.run(_whole(path, weights, imported, inputs))
    shown = ReferenceTensors()
    for layer in imported.layers:
        shown.update(zip(layer.results, results.get(layer.name, []), strict=False))
        reason = chain.missing.get(layer.name, "OpenCV does not show it")
        if layer.name not in results:
            shown.missing |= dict.fromkeys(layer.results, reason)
    shown.update(inputs)
    return shown if tensors is None else _asked(shown, tensors, path)


def _asked(shown: ReferenceTensors, tensors: Sequence[str], path: Path) -> ReferenceTensors:
    unknown = [name for name in tensors if name not in shown and name not in shown.missing]
    if unknown:
        raise InputError(f"the network has no layer {', '.join(unknown)}", where=str(path))
    asked = ReferenceTensors({name: shown[name] for name in tensors if name in shown})
    asked.missing = {name: why for name, why in shown.missing.items() if name in tensors}
    return asked


def _whole(
    path: Path, weights: Path | None, imported: Importer, inputs: Mapping[str, Array]
) -> dict[str, list[Array]]:
    """What OpenCV makes of the file as it is; nothing when it cannot run it, or not rightly.

    Layers with several tops are left out: OpenCV only keeps the first of them.
    """
    data, layers = path.read_bytes(), imported.layers
    if not is_text(data) or not _plain(imported):
        return {}
    stored = weights.read_bytes() if weights and not imported.blobs.drawn else None
    stored = caffemodel(imported.blobs.used) if stored is None else stored
    try:
        single = {layer.name: layer.tops for layer in layers if len(layer.tops) == 1}
        return run_network(data, stored, inputs, single)
    except Refused:
        return {}


def _plain(imported: Importer) -> bool:
    """Whether the file holds nothing but layers that OpenCV understands as they are.

    Fields that it does not know make it forget the defaults of the others, in layers that
    nobody asked for too.
    """
    net, layers = imported.net, imported.layers
    data = [layer for layer in net.layers if layer.type == "Input"]
    if net.unknown or len(layers) + len(data) != net.count:
        return False
    return not any(x.unknown or difference(x.proto) or renamed(x.proto) for x in layers)


@dataclass
class _Chain:
    """One layer after the other.

    missing: layer -> why OpenCV has no result.
    """

    imported: Importer
    graph: Graph
    inputs: Mapping[str, Array]
    missing: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, Array] = field(default_factory=dict)
    own: dict[str, Array] = field(default_factory=dict)

    def run(self, known: Mapping[str, list[Array]]) -> dict[str, list[Array]]:
        """The results of the layers that OpenCV can run, besides those known already."""
        self.blobs.update(self.inputs)
        self.blobs.update(feeds(self.imported.net).constants)
        results = {}
        for layer in self.imported.layers:
            found = known.get(layer.name) or self._layer(layer)
            found = None if found is None else found[: len(layer.tops)]
            if found is not None:
                results[layer.name] = found
            self.blobs.update(zip(layer.tops, found or self._own(layer), strict=False))
        return results

    def _layer(self, layer: NetLayer) -> list[Array] | None:
        reason = difference(layer.proto)
        if not reason:
            try:
                return self._alone(layer)
            except Refused as error:
                reason = f"OpenCV cannot run it: {error}"
        self.missing[layer.name] = reason
        return None

    def _alone(self, layer: NetLayer) -> list[Array]:
        """The layer as a network of its own."""
        names = {blob: f"bottom{i}" for i, blob in enumerate(dict.fromkeys(layer.bottoms))}
        given = {name: self.blobs[blob] for blob, name in names.items()}
        shape = next((array.shape for array in given.values()), ())
        proto = schema.message("LayerParameter")
        proto.CopyFrom(in_its_words(layer.proto, shape))
        bottoms = [names[str(blob)] for blob in proto.bottom]
        del proto.bottom[:], proto.top[:]
        proto.name = "layer"
        proto.bottom.extend(bottoms)
        proto.top.extend(f"top{i}" for i in range(len(layer.tops)))
        text = net_text({name: array.shape for name, array in given.items()}, [proto])
        weights = caffemodel({"layer": self.imported.blobs.used.get(layer.name, [])})
        found = run_network(text.encode(), weights, given, {"layer": list(proto.top)})
        if "layer" not in found:
            raise Refused("it leaves the layer out")
        self._check(layer, found["layer"])
        return found["layer"]

    def _check(self, layer: NetLayer, found: Sequence[Array]) -> None:
        """Refuse results of another size than ours: OpenCV read the layer differently."""
        for array, value in zip(found, self.imported.results[layer.name], strict=False):
            if array.size != value.elements and not value.positions:
                raise Refused(f"its result is {array.shape} instead of {value.shape}")

    def _own(self, layer: NetLayer) -> list[Array]:
        """Our own values of a layer's tops."""
        return [self._value(value) for value in self.imported.results[layer.name]]

    def _value(self, value: Value) -> Array:
        from cvi import plugins
        from cvi.execute import run_float

        if value.array is not None:
            return value.array
        if not self.own:
            names = [
                v.name
                for values in self.imported.results.values()
                for v in values
                if v.array is None
            ]
            given = {op.name: self.inputs[op.source] for op in self.graph.inputs}
            self.own = run_float(self.graph, given, list(dict.fromkeys(names)), plugins.executors())
        return np.asarray(self.own[value.name])
