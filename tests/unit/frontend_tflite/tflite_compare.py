"""Comparing imported graphs with TensorFlow Lite's interpreter, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi.passes import simplify
from cvi_frontend_tflite import reference
from cvi_frontend_tflite.frontend import TfliteFrontend


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs here, not in a process of its own for every model."""
    pytest.importorskip("ai_edge_litert")
    from cvi_frontend_tflite import interpreter_child

    def run(module: str, arguments: Sequence[str], timeout: float) -> None:
        interpreter_child.main(*arguments)

    monkeypatch.setattr(reference, "run_module", run)


Agree = Callable[..., Graph]


@pytest.fixture
def agree(in_process: None, tmp_path: Path) -> Agree:
    """Load a file, compare every layer with the interpreter before and after the passes,
    and give the simplified graph."""

    def check(
        data: bytes,
        inputs: dict[str, Array] | None = None,
        *,
        tolerance: float = 2e-5,
        **options: Any,
    ) -> Graph:
        path = tmp_path / "net.tflite"
        path.write_bytes(data)
        graph = TfliteFrontend().load(path, **options)
        given = inputs or {op.name: _random(op.type.shape) for op in graph.inputs}
        sources = {op.source: given[op.name] for op in graph.inputs}
        shown = TfliteFrontend().reference(path, sources)
        after = simplify(graph)
        for tried in (graph, after):
            _compare(tried, given, shown, tolerance)
        return after

    return check


def _random(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(7).uniform(-2, 2, shape).astype(np.float32)


def _compare(
    graph: Graph, given: dict[str, Array], shown: dict[str, Array], tolerance: float
) -> None:
    fed = {op.name: given[op.name].astype(op.type.dtype.numpy) for op in graph.inputs}
    values = evaluate(graph, fed, keep=True)
    compared = [op for op in graph.ops if op.source in shown]
    assert len(compared) > len(graph.inputs)
    for op in compared:
        expected = shown[op.source]
        assert values[op.name].shape == expected.shape, op.name
        scale = max(float(np.abs(expected).max(initial=0)), 1e-3)
        np.testing.assert_allclose(
            values[op.name], expected, rtol=0, atol=tolerance * scale, err_msg=op.name
        )
