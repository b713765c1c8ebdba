"""A whole world of small fakes for the flow: frontend, scheme, chip, simulator.

The model file is the text `fake`. Its network is relu(relu(x) * 2 or so), written with
ops of this file, so that nothing of a real plugin is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cvi.errors import RunnerError
from cvi.execute import evaluate
from cvi.hookspecs import hookimpl
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import Abs, Relu

SHAPE = (1, 3, 4, 4)
NAMES = ("x", "first_Abs", "second_Relu")


@dataclass(frozen=True, kw_only=True)
class FakeInt8(Op):
    """An int8 layer that computes like its float layer, with rounding."""

    out_scale: float
    in_scale: float
    absolute: bool = False

    def infer(self, inputs: Sequence[TensorType | None]) -> TensorType:
        assert inputs[0] is not None
        return TensorType(inputs[0].shape, DType.INT8, self.out_scale)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        real = x.astype(np.float32) * np.float32(self.in_scale)
        real = np.abs(real) if self.absolute else np.maximum(real, 0)
        return np.clip(np.rint(real / self.out_scale), -128, 127).astype(np.int8)


class FakeFrontend:
    """Reads files that begin with `fake`; `wrong` spoils a tensor of the reference.

    loaded: the options of the first load.
    """

    name = "fakeframe"

    def __init__(self) -> None:
        self.wrong = ""
        self.loaded: dict[str, Any] = {}

    def accepts(self, path: Path) -> bool:
        return path.read_bytes().startswith(b"fake")

    def load(self, path: Path, **options: Any) -> Graph:
        self.loaded = self.loaded or options
        graph = Graph(path.stem)
        graph.add(Input(name=NAMES[0], type=TensorType(SHAPE), source="t0"))
        graph.add(Abs(name=NAMES[1], inputs=NAMES[:1], source="t1"))
        graph.add(Relu(name=NAMES[2], inputs=NAMES[1:2], source="t2"))
        graph.outputs = NAMES[2:]
        if options.get("outputs") == ("t1",):
            graph.ops.pop()
            graph.outputs = NAMES[1:2]
        return graph

    def reference(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        weights: Path | None = None,
        tensors: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        x = inputs["t0"]
        values = {"t0": x, "t1": np.abs(x), "t2": np.abs(x)}
        if self.wrong:
            values[self.wrong] = np.random.default_rng(0).standard_normal(SHAPE).astype("f4")
        return {name: values[name] for name in tensors or values if name in values}


class FakeScheme:
    """Quantises layer by layer; `bad` is a factor on the scale of the first layer."""

    name = "int8"

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.spoil = False
        self.types: tuple[str, str] = ("", "")

    def problems(self, graph: Graph, chip: Any, plan: Any = None) -> list[str]:
        gone = set(NAMES) - {op.name for op in graph}
        return [line for line in self.refused if line.split()[0] not in gone]

    def quantize(
        self,
        graph: Graph,
        table: Any,
        plan: Any,
        chip: Any,
        *,
        inputs_type: str,
        outputs_type: str,
    ) -> Graph:
        self.types = (inputs_type, outputs_type)
        scales = {name: table.threshold(name) / 127 for name in NAMES if graph.get(name)}
        made = Graph(graph.name)
        for op in graph.ops:
            scale = scales[op.name]
            if isinstance(op, Input):
                made.add(op.with_(type=TensorType(SHAPE, DType.INT8, scale)))
                continue
            made.add(
                FakeInt8(
                    name=op.name,
                    inputs=op.inputs,
                    out_scale=scale,
                    in_scale=scales[op.inputs[0]],
                    absolute=isinstance(op, Abs) and not self.spoil,
                )
            )
        made.outputs = graph.outputs
        return made


class FakeChip:
    """The program is the word `program`; the graph is remembered for the simulator."""

    name = "fakechip"
    summary = "not a chip"
    schemes = ("int8",)

    def __init__(self) -> None:
        self.graph: Graph | None = None
        self.refused: list[str] = []

    def check(self, graph: Graph) -> list[str]:
        return self.refused

    def compile(self, graph: Graph, options: Any) -> bytes:
        self.graph = graph
        return b"program"

    def describe(self, program: bytes) -> dict[str, str]:
        return {"memory": f"{len(program)} bytes"}


@dataclass
class FakeSimulator:
    """Evaluates the compiled graph. flip: layers whose first element it changes by one."""

    chip: FakeChip
    name: str = "simulator"
    flip: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    paths: list[Path] = field(default_factory=list)

    def run(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        program: int = 0,
        all_tensors: bool = False,
        timeout: float = 600.0,
    ) -> dict[str, Array]:
        if path.read_bytes() != b"program":
            raise RunnerError("not our program", where=str(path))
        self.paths.append(path)
        assert self.chip.graph is not None
        values = evaluate(self.chip.graph, inputs, keep=all_tensors)
        for name in self.flip:
            values[name] = values[name].copy()
            values[name].flat[0] ^= 1
        return {name: array for name, array in values.items() if name not in self.hidden}


class World:
    """All the fakes as one plugin."""

    def __init__(self) -> None:
        self.frontend = FakeFrontend()
        self.scheme = FakeScheme()
        self.chip = FakeChip()
        self.simulator = FakeSimulator(self.chip)

    @hookimpl
    def cvi_register_frontends(self) -> list[Any]:
        return [self.frontend]

    @hookimpl
    def cvi_register_schemes(self) -> list[Any]:
        return [self.scheme]

    @hookimpl
    def cvi_register_chips(self) -> list[Any]:
        return [self.chip]

    @hookimpl
    def cvi_register_runners(self) -> list[Any]:
        return [self.simulator]

    @hookimpl
    def cvi_register_ops(self) -> list[Any]:
        return [FakeInt8]
