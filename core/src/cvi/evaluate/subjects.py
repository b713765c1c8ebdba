"""What is evaluated: something that gives scores for the inputs of a network.

A subject is a small frozen object of paths and names, so that it can be sent to other
processes and machines, where `open` loads the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cvi import plugins
from cvi.errors import InputError
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array, DType, Graph


class Scorer(Protocol):
    """A subject that is ready to run."""

    def run(self, inputs: Mapping[str, Array]) -> Array:
        """Real scores [n, ...] for the fp32 inputs of the float graph."""


class Subject(Protocol):
    """A picklable description of a scorer; equal ones give the same scores."""

    def __hash__(self) -> int: ...

    @property
    def graph(self) -> Path:
        """The IR file whose inputs say how images are preprocessed."""

    def open(self) -> Scorer:
        """Load what is needed to run."""


@dataclass(frozen=True, kw_only=True)
class GraphSubject:
    """An IR file, float or quantised. output: the layer with the scores.

    exact: quantised graphs take BF16 sums in the hardware's order, which is slow.
    """

    graph: Path
    output: str
    exact: bool = False

    def open(self) -> Scorer:
        graph = loaded(self.graph)
        if any(op.type.dtype in (DType.INT8, DType.BF16) for op in graph):
            return _Quantised(graph, self.output, self.exact)
        return _Float(graph, self.output)


@dataclass(frozen=True, kw_only=True)
class FrameworkSubject:
    """A model file, run by its framework. source: the framework's name of the scores."""

    graph: Path
    model: Path
    source: str
    weights: Path | None = None
    model_type: str = ""

    def open(self) -> Scorer:
        return _Framework(self, loaded(self.graph))


@dataclass(frozen=True, kw_only=True)
class ProgramSubject:
    """A cvimodel on a runner; graph: the float IR file it was made from. output: "" for the
    only one."""

    graph: Path
    program: Path
    output: str
    runner: str = "simulator"
    timeout: float = 600.0

    def open(self) -> Scorer:
        return _Program(self)


def loaded(path: Path) -> Graph:
    """The graph of an IR file with ops of any plugin."""
    from cvi.ir import storage

    plugins.load_ops()
    return storage.load(path)


@dataclass(frozen=True)
class _Quantised:
    graph: Graph
    output: str
    exact: bool

    def run(self, inputs: Mapping[str, Array]) -> Array:
        from cvi.execute import evaluate

        fed = quantised_inputs(self.graph, inputs)
        values = evaluate(self.graph, fed, outputs=[self.output], exact=self.exact)
        return real_values(self.graph, values)[self.output]


class _Float:
    def __init__(self, graph: Graph, output: str) -> None:
        from cvi.execute import float_session

        self._output = output
        self._session = float_session(graph, [output], plugins.executors())

    def run(self, inputs: Mapping[str, Array]) -> Array:
        return self._session.run(inputs)[self._output]


class _Framework:
    def __init__(self, subject: FrameworkSubject, graph: Graph) -> None:
        self._subject = subject
        self._sources = {op.name: op.source or op.name for op in graph.inputs}
        named = subject.model_type
        self._frontend = plugins.frontend(named) if named else plugins.frontend_for(subject.model)

    def run(self, inputs: Mapping[str, Array]) -> Array:
        subject = self._subject
        given = {self._sources[name]: array for name, array in inputs.items()}
        shown = self._frontend.reference(
            subject.model, given, weights=subject.weights, tensors=[subject.source]
        )
        if subject.source not in shown:
            raise InputError("the framework does not show this tensor", where=subject.source)
        return shown[subject.source]


class _Program:
    def __init__(self, subject: ProgramSubject) -> None:
        self._subject = subject
        self._runner = plugins.runner(subject.runner)

    def run(self, inputs: Mapping[str, Array]) -> Array:
        """Integer outputs are not multiplied by their scale, which changes no order."""
        subject = self._subject
        shown = self._runner.run(subject.program, inputs, timeout=subject.timeout)
        name = subject.output or (next(iter(shown)) if len(shown) == 1 else "")
        if name not in shown:
            raise InputError(
                f"the program has no output {name!r}, only {', '.join(shown)}",
                where=str(subject.program),
                fix="--output NAME chooses one",
            )
        scores = shown[name]
        if scores.dtype.name == "uint16":
            scores = (scores.astype("uint32") << 16).view("float32")
        return scores
