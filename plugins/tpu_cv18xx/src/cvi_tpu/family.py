"""The chip object of a family member: what a chip plugin registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi_tpu.chip import ChipSpec

if TYPE_CHECKING:
    from cvi.hookspecs import CompileOptions
    from cvi.ir import Graph


class FamilyChip:
    """A chip of the CV18xx family; see `cvi.hookspecs.Chip`. The code generator is
    imported when it is used."""

    def __init__(self, spec: ChipSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.summary = spec.summary
        self.schemes: tuple[str, ...] = ("int8", "bf16", "mix_bf16", "mixed")

    def check(self, graph: Graph) -> list[str]:
        """Layers of a quantised graph that the chip cannot run, with the reason."""
        from cvi_tpu.codegen.constraints import check

        return check(graph, self.spec)

    def compile(self, graph: Graph, options: CompileOptions) -> bytes:
        """The program file of a quantised graph."""
        from cvi_tpu.codegen.compile import compile_graph

        return compile_graph(graph, self.spec, keep_tensors=options.keep_tensors)

    def estimate(self, graph: Graph) -> float:
        """Estimated cycles of the program of a quantised graph, without its CPU functions."""
        from cvi.hookspecs import CompileOptions
        from cvi_tpu.estimate import totals
        from cvi_tpu.model import read

        return totals(read(self.compile(graph, CompileOptions())), self.spec).makespan

    def describe(self, program: bytes) -> dict[str, str]:
        """The memory that a program needs on the board, and what runs on its CPU."""
        from cvi_tpu.model import read
        from cvi_tpu.model.summary import memory_need

        model = read(program)
        need = memory_need(model)
        parts = ", ".join(f"{use} {size / 1024:.0f} KiB" for use, size in need.items())
        routines = [routine for made in model.programs for routine in made.routines]
        functions = [routine.cpu.function for routine in routines if routine.cpu]
        on_cpu = f", {len(functions)} on the CPU ({', '.join(functions)})" if functions else ""
        return {
            "memory": f"{sum(need.values()) / (1 << 20):.2f} MiB ({parts})",
            "routines": f"{len(routines) - len(functions)} on the TPU{on_cpu}",
        }


def make_chip(spec: ChipSpec) -> FamilyChip:
    """The chip with these numbers."""
    return FamilyChip(spec)
