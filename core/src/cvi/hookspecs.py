"""Every extension point of cvi, on one page.

A plugin is a module named by an entry point of the group "cvi". It implements some
of these hooks; each returns a list of cheap objects that have a `name`. The work
behind an object is imported when it is used, not when it is registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

if TYPE_CHECKING:
    from cvi.calibrate.table import CalibrationTable
    from cvi.flow.progress import Progress
    from cvi.ir import Array, Graph, Op, Shape
    from cvi.precision import PrecisionPlan

GROUP = "cvi"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@runtime_checkable
class Frontend(Protocol):
    """Reads the model files of one framework."""

    name: str

    def accepts(self, path: Path) -> bool:
        """Whether the file's content (not only its suffix) is of this framework."""

    def load(
        self,
        path: Path,
        *,
        weights: Path | None = None,
        batch: int | None = None,
        input_shapes: Mapping[str, tuple[int, ...]] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Graph:
        """The float graph. CviError when the file is broken or unsupported."""

    def reference(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        weights: Path | None = None,
        tensors: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        """Tensors of the framework's own inference, by the model's tensor names
        (`Op.source`); all that the framework can give when `tensors` is None."""


@runtime_checkable
class BringsThresholds(Protocol):
    """A frontend of which some models come with thresholds of their own."""

    def brings_thresholds(self, path: Path) -> bool:
        """Whether `load` of this file gives a graph with `thresholds`; quick."""


@runtime_checkable
class DrawsWeights(Protocol):
    """A frontend whose files may come without weights, and which can invent some."""

    def with_random_weights(self, seed: int) -> Frontend:
        """The same frontend, drawing from the seed the weights that it does not find."""


class ReferenceTensors(dict[str, "Array"]):
    """What `Frontend.reference` may return to say also which tensors the framework cannot
    give: `missing` holds them with the reason."""

    missing: dict[str, str]

    def __init__(self, tensors: Mapping[str, Array] | None = None) -> None:
        super().__init__(tensors or {})
        self.missing = {}


@runtime_checkable
class WritesTails(Protocol):
    """A frontend that can write the part of a model behind a cut."""

    def tail(self, path: Path, target: Path, cut: Mapping[str, Shape]) -> bool:
        """Write what is behind these tensors (given with their shapes) as an ONNX model for
        the host; False, and no file, when nothing is."""


@runtime_checkable
class WritesGraphs(Protocol):
    """A frontend that can write float graphs as ONNX models."""

    def write_graph(self, graph: Graph, target: Path) -> None:
        """Write the file. UnsupportedError names every layer that has no ONNX form."""


@runtime_checkable
class HasForeign(Protocol):
    """A frontend whose model files may hold ops that the framework itself cannot compute."""

    def foreign(self, path: Path) -> Sequence[str]:
        """The tensors that such ops compute. `reference` takes values of them among its
        inputs, goes on behind them, and leaves out what it still cannot compute."""


@runtime_checkable
class Executor(Protocol):
    """Runs a float graph faster than the numpy reference."""

    name: str

    def session(self, graph: Graph, outputs: Sequence[str]) -> ExecutorSession:
        """Prepare a graph. UnsupportedError when an op is unknown to the executor."""


class ExecutorSession(Protocol):
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The asked outputs by layer name."""


@runtime_checkable
class Scheme(Protocol):
    """Turns a float graph into a quantised one."""

    name: str

    def quantize(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan | None,
        chip: Chip,
        *,
        inputs_type: str,
        outputs_type: str,
    ) -> Graph:
        """The quantised graph; UnsupportedError names every layer that has no rule.

        A layer that stands for a float layer has its name. plan: the precision of every
        layer; None is the scheme's own. inputs_type, outputs_type: what the network is fed
        with and gives, "int8", "bf16" or "fp32"; "auto" for inputs is what the first layers
        compute with.
        """

    def problems(self, graph: Graph, chip: Chip, plan: PrecisionPlan | None = None) -> list[str]:
        """What the scheme or chip cannot do, one line per layer; empty when all is well."""


@runtime_checkable
class LearnsRounding(Protocol):
    """A scheme that can choose by images how weights are rounded."""

    def quantize_learned(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan | None,
        chip: Chip,
        samples: Iterable[Mapping[str, Array]],
        *,
        thorough: bool,
        inputs_type: str,
        outputs_type: str,
        progress: Progress,
    ) -> Graph:
        """As `Scheme.quantize`, with the rounding that changes the layers' results for the
        samples (real arrays by input name) least. The same samples give the same graph.
        thorough: whether as many samples are used as memory holds, or the first few."""


@runtime_checkable
class Advises(Protocol):
    """A scheme that tells where it departs from a plan."""

    def notes(self, graph: Graph, chip: Chip, plan: PrecisionPlan | None = None) -> list[str]:
        """One line per layer that is computed in another precision than planned, and why."""


@runtime_checkable
class Chip(Protocol):
    """A chip that graphs are compiled for."""

    name: str
    summary: str
    schemes: tuple[str, ...]

    def check(self, graph: Graph) -> list[str]:
        """Layers of a quantised graph that the chip cannot run, with the reason."""

    def compile(self, graph: Graph, options: CompileOptions) -> bytes:
        """The program file of a quantised graph."""


@runtime_checkable
class Describes(Protocol):
    """A chip that can tell users about a program it made."""

    def describe(self, program: bytes) -> Mapping[str, str]:
        """Title -> text, e.g. {"memory": "1.2 MiB"}, shown after a conversion."""


@runtime_checkable
class Estimates(Protocol):
    """A chip with a cost model."""

    def estimate(self, graph: Graph) -> float:
        """Estimated cycles of the program of a quantised graph."""


@runtime_checkable
class LimitsTypes(Protocol):
    """A chip whose programs cannot be fed with, or give, every element type."""

    io_types: tuple[str, ...]
    """Of "int8", "bf16" and "fp32", those that programs take and give."""


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """What a user may ask of the code generator.

    keep_tensors: every layer stays readable in the program's memory, for debugging.
    """

    keep_tensors: bool = False


@runtime_checkable
class Runner(Protocol):
    """Executes a program file."""

    name: str

    def run(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        program: int = 0,
        all_tensors: bool = False,
        timeout: float = 600.0,
    ) -> dict[str, Array]:
        """Outputs (or all tensors) by name in their stored types; BF16 as uint16.

        Float inputs for an integer tensor are quantised as the vendor's runtime does.
        RunnerError when the file is refused or the runner dies.
        """


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    help: the line of `cvi --help`.
    target: "module:attribute", a function with Typer's annotations or a `typer.Typer`
    with sub-commands; imported when the command is invoked.
    """

    name: str
    help: str
    target: str


@hookspec
def cvi_register_frontends() -> Sequence[Frontend]:  # type: ignore[empty-body]
    """Readers of model files."""


@hookspec
def cvi_register_ops() -> Sequence[type[Op]]:  # type: ignore[empty-body]
    """Op classes; importing the module that defines them is what registers them."""


@hookspec
def cvi_register_converters(frontend: str) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """For the named frontend: framework op name -> converter function."""


@hookspec
def cvi_register_executors() -> Sequence[Executor]:  # type: ignore[empty-body]
    """Fast executors of float graphs, the best first."""


@hookspec
def cvi_register_schemes() -> Sequence[Scheme]:  # type: ignore[empty-body]
    """Quantisation schemes."""


@hookspec
def cvi_register_quantizers(scheme: str) -> Mapping[type[Op], Any]:  # type: ignore[empty-body]
    """For the named scheme: float op class -> quantiser function."""


@hookspec
def cvi_register_kernels(family: str) -> Mapping[type[Op] | str, Any]:  # type: ignore[empty-body]
    """For the named chip family: quantised op class -> kernel, and the name of a CPU
    function -> the function that the simulator runs for it.

    For "cv18xx" a kernel is a `cvi_tpu.codegen.tpu.OnTpu`, a bare function (op, context)
    that emits TPU instructions, or a `cvi_tpu.codegen.cpu.OnCpu` for an op that becomes a
    call of a CPU function; its rule(op) gives a `CpuCall`: the function's name and its
    arguments. It may bring shared libraries for the program file. A CPU function takes a
    `cvi_tpu.runtime.Call` and gives one array per output. What the vendor's runtime
    brings itself needs no function here."""


@hookspec
def cvi_register_chips() -> Sequence[Chip]:  # type: ignore[empty-body]
    """Chips to compile for."""


@hookspec
def cvi_register_runners() -> Sequence[Runner]:  # type: ignore[empty-body]
    """Who can run a program file."""


@hookspec
def cvi_register_commands() -> Sequence[Command]:  # type: ignore[empty-body]
    """Commands added to the command line."""
