"""What this plugin registers; the work behind each object is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi.hookspecs import Command, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cvi.calibrate.table import CalibrationTable
    from cvi.hookspecs import Chip
    from cvi.ir import Array, Graph, Op
    from cvi.precision import PrecisionPlan


class Int8:
    """The scheme "int8": `cvi_tpu.quantized.scheme.Int8Scheme`, imported on first use."""

    name = "int8"

    def quantize(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan,
        chip: Chip,
        *,
        inputs_type: str = "int8",
        outputs_type: str = "fp32",
    ) -> Graph:
        """See `cvi.hookspecs.Scheme`."""
        from cvi_tpu.quantized.scheme import Int8Scheme

        return Int8Scheme().quantize(
            graph, table, plan, chip, inputs_type=inputs_type, outputs_type=outputs_type
        )

    def problems(self, graph: Graph, chip: Chip) -> list[str]:
        """See `cvi.hookspecs.Scheme`."""
        from cvi_tpu.quantized.scheme import Int8Scheme

        return Int8Scheme().problems(graph, chip)


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
def cvi_register_schemes() -> list[Int8]:
    return [Int8()]


@hookimpl
def cvi_register_runners() -> list[Simulator]:
    return [Simulator()]


@hookimpl
def cvi_register_commands() -> list[Command]:
    return [
        Command("model", "Look into a cvimodel: dump, disasm", "cvi_tpu.commands.model:app"),
    ]
