"""Runs float graphs in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvi.errors import InputError
from cvi.ir import Array, DType, Graph

if TYPE_CHECKING:
    import onnxruntime


class OnnxRuntimeExecutor:
    """Exports a float graph to ONNX and runs it with all optimisations."""

    name = "onnxruntime"

    def __init__(self, threads: int = 0) -> None:
        """threads: 0 means one per core."""
        self._threads = threads

    def session(self, graph: Graph, outputs: Sequence[str]) -> OnnxRuntimeSession:
        """Prepare the graph. UnsupportedError names every layer that has no ONNX form."""
        from cvi_frontend_onnx.exporter import to_onnx
        from cvi_frontend_onnx.session import make_session

        inputs = {op.name: op.type.dtype for op in graph.inputs}
        computed = [name for name in dict.fromkeys(outputs) if name not in inputs]
        weights: dict[str, Array] = {}
        model = to_onnx(graph, computed, outside=weights)
        session = make_session(model, optimise=True, threads=self._threads, outside=weights)
        return OnnxRuntimeSession(session, weights, inputs, tuple(outputs), computed)


class OnnxRuntimeSession:
    """A prepared graph."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        weights: Mapping[str, Array],
        inputs: Mapping[str, DType],
        outputs: Sequence[str],
        computed: Sequence[str],
    ) -> None:
        self._session = session
        self._weights = weights  # what the session does not hold itself
        self._inputs = inputs
        self._outputs = outputs
        self._computed = list(computed)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The asked outputs by layer name. InputError when an input is missing."""
        feeds: dict[str, Array] = {}
        for name, dtype in self._inputs.items():
            if name not in inputs:
                raise InputError("the input is missing", where=name)
            feeds[name] = np.asarray(inputs[name], dtype.numpy, order="C")
        if self._computed:
            results = self._session.run(self._computed, feeds)
            feeds.update(zip(self._computed, results, strict=True))
        return {name: feeds[name] for name in self._outputs}
