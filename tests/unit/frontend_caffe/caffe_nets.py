"""Small Caffe networks: written, loaded, run by us and by OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi.passes import simplify
from cvi_frontend_caffe.frontend import CaffeFrontend
from cvi_frontend_caffe.writer import caffemodel

Blobs = Mapping[str, Sequence[Array]]
Made = Callable[..., tuple[Path, Path]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Writes a prototxt and a caffemodel; their paths."""

    def make(text: str, blobs: Blobs | None = None, name: str = "net") -> tuple[Path, Path]:
        net, weights = tmp_path / f"{name}.prototxt", tmp_path / f"{name}.caffemodel"
        net.write_text(text)
        weights.write_bytes(caffemodel(blobs or {"none": [np.zeros(1, np.float32)]}))
        return net, weights

    return make


def numbers(*shape: int, seed: int = 0, low: float | None = None) -> Array:
    """Normally distributed numbers, not below `low`."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return x if low is None else np.maximum(np.abs(x), np.float32(low))


def inputs_text(shapes: Mapping[str, Sequence[int]]) -> str:
    lines = []
    for name, shape in shapes.items():
        dims = " ".join(f"dim: {d}" for d in shape)
        lines.append(f'input: "{name}" input_shape {{ {dims} }}')
    return "\n".join(lines) + "\n"


def layer_text(kind: str, params: str = "", *, bottoms: Sequence[str], tops: int = 1) -> str:
    """A layer named `layer` with the tops `top`, or `top0`, `top1`, …"""
    names = ["top"] if tops == 1 else [f"top{i}" for i in range(tops)]
    wires = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in names])
    return f'layer {{ name: "layer" type: "{kind}" {wires} {params} }}\n'


def loaded(net: Path, weights: Path | None = None, **options: Any) -> Graph:
    return CaffeFrontend().load(net, weights=weights, **options)


def values(graph: Graph, inputs: Mapping[str, Array], *, simplified: bool = False) -> Any:
    """All layers of a graph, by name; also after simplification when it is asked for."""
    graph = simplify(graph) if simplified else graph
    return evaluate(graph, inputs, keep=True)


def close(ours: Array, theirs: Array, tolerance: float = 1e-5) -> None:
    """Equal up to `tolerance` of the largest value, and of the same size."""
    assert ours.size == theirs.size
    scale = max(float(np.abs(theirs).max(initial=0)), 1e-6)
    difference = float(np.abs(ours.ravel() - theirs.ravel()).max(initial=0))
    assert difference <= tolerance * scale, (difference, scale)
