"""What this plugin registers; the work behind each object is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi.hookspecs import Command, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cvi.calibrate.table import CalibrationTable
    from cvi.flow.progress import Progress
    from cvi.hookspecs import Chip
    from cvi.ir import Array, Graph, Op
    from cvi.precision import PrecisionPlan
    from cvi_tpu.quantized.scheme import TpuScheme


class LazyScheme:
    """A scheme of `cvi_tpu.quantized.scheme`, imported on first use."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self._kind = name, kind

    def quantize(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan | None,
        chip: Chip,
        *,
        inputs_type: str = "auto",
        outputs_type: str = "fp32",
    ) -> Graph:
        """See `cvi.hookspecs.Scheme`."""
        return self._scheme().quantize(
            graph, table, plan, chip, inputs_type=inputs_type, outputs_type=outputs_type
        )

    def quantize_learned(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan | None,
        chip: Chip,
        samples: Iterable[Mapping[str, Array]],
        *,
        thorough: bool = True,
        inputs_type: str = "auto",
        outputs_type: str = "fp32",
        progress: Progress,
    ) -> Graph:
        """See `cvi.hookspecs.LearnsRounding`."""
        return self._scheme().quantize_learned(
            graph, table, plan, chip, samples, thorough=thorough,
            inputs_type=inputs_type, outputs_type=outputs_type, progress=progress,
        )  # fmt: skip

    def problems(self, graph: Graph, chip: Chip, plan: PrecisionPlan | None = None) -> list[str]:
        """See `cvi.hookspecs.Scheme`."""
        return self._scheme().problems(graph, chip, plan)

    def notes(self, graph: Graph, chip: Chip, plan: PrecisionPlan | None = None) -> list[str]:
        """See `cvi.hookspecs.Advises`."""
        return self._scheme().notes(graph, chip, plan)

    def _scheme(self) -> TpuScheme:
        from cvi_tpu.quantized import scheme

        found: TpuScheme = getattr(scheme, self._kind)()
        return found


class Simulator:
    """The runner "simulator": our own simulator, in this process."""

    name = "simulator"

    def run(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        program: int = 0,
        all_tensors: bool = False,
        timeout: float = 600.0,
    ) -> dict[str, Array]:
        """See `cvi.hookspecs.Runner`."""
        from cvi_tpu.runtime.runner import run_file

        return run_file(path, inputs, program=program, all_tensors=all_tensors, timeout=timeout)


@hookimpl
def cvi_register_ops() -> list[type[Op]]:
    from cvi_tpu.quantized import ops

    return [getattr(ops, name) for name in ops.__all__ if name not in ("Pads", "Pair")]


@hookimpl
def cvi_register_schemes() -> list[LazyScheme]:
    return [
        LazyScheme("int8", "Int8Scheme"),
        LazyScheme("bf16", "Bf16Scheme"),
        LazyScheme("mix_bf16", "MixBf16Scheme"),
        LazyScheme("mixed", "MixedScheme"),
    ]


@hookimpl
def cvi_register_runners() -> list[Simulator]:
    return [Simulator()]


@hookimpl
def cvi_register_commands() -> list[Command]:
    return [
        Command("model", "Look into a cvimodel: dump, disasm", "cvi_tpu.commands.model:app"),
    ]
