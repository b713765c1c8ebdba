"""Which layers of a network to import, and what its outputs are."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cvi.errors import InputError, ModelError
from cvi_frontend_caffe.inputs import DATA, Feeds
from cvi_frontend_caffe.net import Net, NetLayer

_TRAINING = frozenset({"Accuracy", "Silence", "HDF5Output", "EvalDetection", "DetectionEvaluate"})


@dataclass(frozen=True)
class Plan:
    """layers: to be imported, in order. outputs: layer and number of its top. inputs: blobs
    that are read before any layer writes them. left_out: layers that only serve training."""

    layers: tuple[NetLayer, ...]
    outputs: tuple[tuple[str, int], ...]
    inputs: frozenset[str]
    left_out: tuple[NetLayer, ...]


def plan(net: Net, given: Feeds, wanted: Sequence[str] | None) -> Plan:
    """What the outputs need: those of the network, or those that match the patterns."""
    left_out = tuple(layer for layer in net.layers if _only_training(layer))
    layers = [layer for layer in net.layers if layer not in left_out and layer.type not in DATA]
    _check_names(layers)
    outputs = _own_outputs(layers, net) if wanted is None else _matching(layers, wanted)
    needed = _needed(layers, outputs, set(given.shapes) | set(given.constants))
    inputs: set[str] = set()
    written: set[str] = set()
    for layer in needed:
        inputs.update(set(layer.bottoms) - written)
        written.update(layer.tops)
    shown = tuple(layer for layer in left_out if layer.type != "Silence")
    return Plan(tuple(needed), tuple(outputs), frozenset(inputs), shown)


def _only_training(layer: NetLayer) -> bool:
    return layer.type in _TRAINING or layer.type.endswith("Loss")


def _check_names(layers: Sequence[NetLayer]) -> None:
    seen: dict[str, NetLayer] = {}
    for layer in layers:
        if not layer.name:
            raise ModelError("a layer has no name", where=layer.where)
        first = seen.setdefault(layer.name, layer)
        if first is not layer:
            raise ModelError(
                f"has the name of {first.where}",
                where=layer.where,
                fix="give the layers different names, or rules for different phases",
            )
        if len(set(layer.tops)) != len(layer.tops):
            raise ModelError("has the same top twice", where=layer.where)


def _own_outputs(layers: Sequence[NetLayer], net: Net) -> list[tuple[str, int]]:
    """Blobs that no later layer reads, each as its last layer leaves it."""
    last: dict[str, tuple[str, int]] = {}
    for layer in layers:
        for bottom in layer.bottoms:
            last.pop(bottom, None)
        last.update({top: (layer.name, i) for i, top in enumerate(layer.tops)})
    silent = {b for layer in net.layers if layer.type == "Silence" for b in layer.bottoms}
    outputs = [place for blob, place in last.items() if blob not in silent]
    if not outputs:
        raise ModelError("the network has no output")
    return outputs


def _matching(layers: Sequence[NetLayer], wanted: Sequence[str]) -> list[tuple[str, int]]:
    """A pattern (fnmatch wildcards) is compared with layers, their tops, and numbered tops."""
    names: dict[str, tuple[str, int]] = {}
    for layer in layers:
        for i, top in enumerate(layer.tops):
            names[top] = (layer.name, i)
    for layer in layers:
        names |= {result: (layer.name, i) for i, result in enumerate(layer.results)}
    chosen: dict[tuple[str, int], None] = {}
    for pattern in wanted:
        found = [names[pattern]] if pattern in names else [
            place for name, place in names.items() if fnmatch.fnmatchcase(name, pattern)
        ]  # fmt: skip
        if not found:
            raise _no_match(pattern, names)
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def _no_match(pattern: str, names: Mapping[str, object]) -> InputError:
    near = difflib.get_close_matches(pattern, names, n=3)
    return InputError(
        f"no layer or blob matches {pattern!r}" + (f", near: {', '.join(near)}" if near else ""),
        where="--outputs",
        fix="`cvi inspect MODEL --layers` lists them",
    )


def _needed(
    layers: Sequence[NetLayer], outputs: Sequence[tuple[str, int]], known: set[str]
) -> list[NetLayer]:
    """The layers that the outputs depend on, in order. ModelError for blobs from nowhere."""
    writer: dict[str, int] = {}
    reads: list[list[int]] = []
    for i, layer in enumerate(layers):
        for bottom in layer.bottoms:
            if bottom not in writer and bottom not in known:
                raise ModelError(
                    f"reads {bottom!r}, which no layer before it writes",
                    where=layer.where,
                    fix="the file is incomplete, or its layers are in the wrong order",
                )
        reads.append([writer[b] for b in layer.bottoms if b in writer])
        writer.update(dict.fromkeys(layer.tops, i))
    index = {layer.name: i for i, layer in enumerate(layers)}
    stack = [index[name] for name, _ in outputs]
    needed: set[int] = set()
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            stack += reads[i]
    return [layers[i] for i in sorted(needed)]
