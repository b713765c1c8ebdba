"""From a quantised graph to the bytes of a `.cvimodel`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvi.errors import UnsupportedError
from cvi.ir import Array, Graph, Input, Op
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.aliases import find_aliases, free_ops
from cvi_tpu.codegen.casts import prepare
from cvi_tpu.codegen.constraints import check
from cvi_tpu.codegen.context import View, as_bytes
from cvi_tpu.codegen.describe import describe_tensors
from cvi_tpu.codegen.fusion import emit
from cvi_tpu.codegen.grouping import Group, Grouping, build, tiled_op
from cvi_tpu.codegen.libraries import library_sections
from cvi_tpu.codegen.memory import SHARED, Memory, assign
from cvi_tpu.codegen.partition import (
    Segment,
    Unit,
    cpu_kernel_of,
    cpu_rule_of,
    lowering_of,
    partition,
    split,
)
from cvi_tpu.codegen.weights import WeightSection
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.instructions import Engine, Instruction
from cvi_tpu.isa.program import Program as Commands
from cvi_tpu.isa.stream import cmdbuf
from cvi_tpu.model import (
    CpuRoutine,
    CviModelFile,
    Program,
    Routine,
    RoutineKind,
    Section,
    SectionKind,
    TpuRoutine,
    encode_arguments,
    write,
)


@dataclass(frozen=True)
class CompileReport:
    """What the program is made of; sizes in bytes, commands per engine."""

    tpu_layers: int
    cpu_layers: int
    tpu_routines: int
    weight_bytes: int
    shared_bytes: int
    private_bytes: int
    io_bytes: int
    tiu_commands: int
    tdma_commands: int


@dataclass(frozen=True)
class Compiled:
    """A program file with what is known about it. commands: per TPU routine."""

    data: bytes
    report: CompileReport
    commands: tuple[tuple[Command, ...], ...]


def compile_graph(
    graph: Graph,
    spec: ChipSpec,
    *,
    keep_tensors: bool = False,
    lane_bytes: int | None = None,
    fuse: bool = True,
) -> bytes:
    """The program file of a quantised graph.

    keep_tensors: every layer's result can be read after a run. lane_bytes: local memory
    that may be used per lane, all of it by default. fuse: whether neighbouring layers may
    be computed together in local memory.
    UnsupportedError lists every layer that the chip cannot run.
    """
    return compile_with_report(
        graph, spec, keep_tensors=keep_tensors, lane_bytes=lane_bytes, fuse=fuse
    ).data


def compile_with_report(
    graph: Graph,
    spec: ChipSpec,
    *,
    keep_tensors: bool = False,
    lane_bytes: int | None = None,
    fuse: bool = True,
) -> Compiled:
    """As `compile_graph`, with the summary and the commands."""
    problems = check(graph, spec)
    if problems:
        raise UnsupportedError(
            f"{spec.name} cannot run {len(problems)} of the layers",
            where=graph.name,
            problems=problems,
        )
    return _Compiler(
        prepare(graph, keep_all=keep_tensors), spec, keep_tensors, lane_bytes, fuse
    ).run()


class LoweringContext:
    """What a kernel works with; see `cvi_tpu.codegen.context.Context`."""

    def __init__(
        self,
        graph: Graph,
        spec: ChipSpec,
        memory: Memory,
        weights: WeightSection,
        lane_bytes: int,
        plans: dict[Hashable, Any],
    ) -> None:
        self.graph, self.spec, self.lane_bytes, self.plans = graph, spec, lane_bytes, plans
        self.layer = 0
        self._memory, self._weights = memory, weights
        self._program = Commands(spec)
        self._op_name = ""

    def start(self, program: Commands) -> None:
        """Instructions go to this program from now on."""
        self._program = program

    def enter(self, op: Op, layer: int) -> None:
        """The op whose lowering follows."""
        self._op_name, self.layer = op.name, layer

    def view(self, name: str) -> View:
        """Where the value of an op or constant lives in DRAM."""
        if name in self._memory.views:
            return self._memory.views[name]
        if name not in self.graph.constants:  # stays in local memory: only its shape counts
            kind = self.graph.type_of(name)
            return View.dense(SHARED, 0, kind.shape, kind.dtype.size)
        array = self.graph.constants[name]
        stored = self._weights.add(name, as_bytes(array))
        return View.dense(stored.region, stored.address, array.shape, array.itemsize)

    def weight(self, data: Array) -> View:
        """Put bytes into the weight section."""
        return self._weights.add(f"{self._op_name}_weight", data)

    def constant(self, name: str) -> Array:
        """The array of a constant operand."""
        return self.graph.constants[name]

    def emit(self, instruction: Instruction) -> None:
        """Append an instruction to the current program."""
        self._program.emit(instruction)


class _Compiler:
    def __init__(
        self, graph: Graph, spec: ChipSpec, keep: bool, lane_bytes: int | None, fuse: bool
    ) -> None:
        self.graph, self.spec, self.keep = graph, spec, keep
        self.lane_bytes = spec.lane_bytes if lane_bytes is None else lane_bytes
        self.placed = find_aliases(graph, share=not keep)
        self.free = free_ops(graph, self.placed)
        self.fuse = fuse
        self.plans: dict[Hashable, Any] = {}
        self.grouping = Grouping(graph, frozenset(self.free), keep=keep)

    def run(self) -> Compiled:
        segments = partition(self.graph, self.free)
        while True:
            groups = self._groups(segments)
            memory = self._assign(segments, groups)
            weights = WeightSection(op.name for op in self.graph.ops)
            lowered = self._lower(segments, groups, memory, weights)
            cut = [part for low in lowered for part in self._cut(low)]
            if len(cut) == len(segments):
                return self._finish([low for low in lowered if not low.idle], memory, weights)
            segments = cut

    def _context(self, memory: Memory, weights: WeightSection) -> LoweringContext:
        return LoweringContext(self.graph, self.spec, memory, weights, self.lane_bytes, self.plans)

    def _assign(self, segments: Sequence[Segment], groups: Sequence[Group]) -> Memory:
        return assign(
            self.graph,
            self.placed,
            segments,
            self.free,
            keep=self.keep,
            together=[[op.name for op in group.ops] for group in groups],
            unstored=frozenset().union(*(group.unstored for group in groups)),
        )

    def _groups(self, segments: Sequence[Segment]) -> list[Group]:
        """The fused layers of all segments, chosen with a first idea of where values live."""
        if not self.fuse:
            return []
        memory = self._assign(segments, [])
        ctx = self._context(memory, WeightSection())
        tpu = [segment.ops for segment in segments if segment.unit is Unit.TPU]
        return [group for ops in tpu for group in self.grouping.choose(ops, ctx)]

    def _lower(
        self,
        segments: Sequence[Segment],
        groups: Sequence[Group],
        memory: Memory,
        weights: WeightSection,
    ) -> list[_Lowered]:
        ctx = self._context(memory, weights)
        layers = {op.name: number for number, op in enumerate(self.graph.ops)}
        group_of = {op.name: group for group in groups for op in group.ops}
        lowered = []
        for segment in segments:
            program, ends = Commands(self.spec), []
            ctx.start(program)
            for op in segment.ops if segment.unit is Unit.TPU else ():
                group = group_of.get(op.name)
                if group is not None and op is group.ops[0]:
                    self._lower_group(group, layers, ctx)
                elif group is None and op.name not in self.free:
                    ctx.enter(op, layers[op.name])
                    lowering = lowering_of(op)
                    assert lowering is not None
                    try:
                        lowering(op, ctx)
                    except UnsupportedError as error:
                        error.where = error.where or f"layer {op.name}"
                        raise
                ends.append(len(program))
            lowered.append(_Lowered(segment, tuple(program.commands()), tuple(ends)))
        return lowered

    def _lower_group(self, group: Group, layers: Mapping[str, int], ctx: LoweringContext) -> None:
        kernels = []
        for op in group.ops:
            ctx.enter(op, layers[op.name])
            kernel = tiled_op(op, ctx)
            assert kernel is not None
            kernels.append(kernel)
        emit(build(group, kernels, self.grouping, ctx), ctx)

    def _cut(self, lowered: _Lowered) -> list[Segment]:
        """A segment whose commands are more than a routine may have, in parts."""
        if not lowered.commands:
            return [lowered.segment]
        most = 0
        for engine, limit in zip((Engine.TIU, Engine.TDMA), self.spec.stream_bytes, strict=True):
            layout = self.spec.tiu if engine is Engine.TIU else self.spec.tdma
            used = sum(c.engine is engine for c in lowered.commands)
            most = max(most, -(-used * layout.size // limit))
        if most <= 1 or len(lowered.segment.ops) == 1:
            return [lowered.segment]
        starts = (0, *lowered.ends[:-1])
        sizes = [end - start for start, end in zip(starts, lowered.ends, strict=True)]
        return split(lowered.segment, sizes, -(-len(lowered.commands) // (most + 1)))

    # -- the file --------------------------------------------------------------

    def _finish(
        self, lowered: Sequence[_Lowered], memory: Memory, weights: WeightSection
    ) -> Compiled:
        routines: list[Routine] = []
        sections: list[Section] = []
        for low in lowered:
            if low.segment.unit is Unit.CPU:
                ops = [op for op in low.segment.ops if op.name not in self.free]
                routines += [self._cpu(op, weights) for op in ops]
                continue
            name = f"tpu_subfunc{len(sections)}"
            data = cmdbuf(low.commands, self.spec)
            sections.append(Section(kind=SectionKind.CMDBUF, name=name, data=data))
            routines.append(self._tpu(low.segment, name))
        sections += library_sections(filter(None, map(cpu_kernel_of, self.graph.ops)))
        program = Program(
            batch=self._batch(),
            inputs=tuple(op.name for op in self.graph.inputs),
            outputs=tuple(dict.fromkeys(self.graph.outputs)),
            tensors=describe_tensors(self.graph, memory),
            routines=tuple(routines),
            shared_gmem=memory.shared_bytes,
            private_gmem=memory.private_bytes,
        )
        stored = Section(kind=SectionKind.WEIGHT, name="weight", data=weights.content())
        model = CviModelFile(
            name=self.graph.name,
            weight_map=weights.table(),
            programs=(program,),
            sections=tuple(s for s in (stored, *sections) if s.data),
            target=self.spec.name,
            chip=self.spec.name,
        )
        report = self._report(lowered, memory, weights)
        return Compiled(
            write(model), report, tuple(low.commands for low in lowered if low.commands)
        )

    def _batch(self) -> int:
        shapes = [op.type.shape for op in self.graph.inputs if op.type.shape]
        return shapes[0][0] if shapes else 1

    def _cpu(self, op: Op, weights: WeightSection) -> Routine:
        """Constants among the operands become tensors of the weight map."""
        rule = cpu_rule_of(op)
        assert rule is not None  # the op is in a CPU segment
        call = rule(op)
        routine = CpuRoutine(function=call.function, args=encode_arguments(call.arguments))
        constants = self.graph.constants
        inputs = tuple(
            weights.add_tensor(name, constants[name]) if name in constants else name
            for name in op.inputs
        )
        return Routine(kind=RoutineKind.CPU, inputs=inputs, outputs=(op.name,), cpu=routine)

    def _tpu(self, segment: Segment, name: str) -> Routine:
        """Inputs and outputs are what crosses the border of the segment: for them the
        runtime flushes the caches."""
        inside = {op.name for op in segment.ops}
        read = [n for op in segment.ops for n in op.inputs if n in self.placed]
        users = self.graph.users()
        written = [
            op.name
            for op in segment.ops
            if op.name in self.graph.outputs
            or any(user.name not in inside for user in users[op.name])
        ]
        inputs = tuple(dict.fromkeys(n for n in read if n not in inside))
        return Routine(
            kind=RoutineKind.TPU, inputs=inputs, outputs=tuple(written), tpu=TpuRoutine(cmdbuf=name)
        )

    def _report(
        self, lowered: Sequence[_Lowered], memory: Memory, weights: WeightSection
    ) -> CompileReport:
        commands = [c for low in lowered for c in low.commands]
        cpu = [low.segment for low in lowered if low.segment.unit is Unit.CPU]
        on_cpu = sum(op.name not in self.free for segment in cpu for op in segment.ops)
        layers = sum(not isinstance(op, Input) for op in self.graph.ops)
        return CompileReport(
            tpu_layers=layers - on_cpu,
            cpu_layers=on_cpu,
            tpu_routines=len(lowered) - len(cpu),
            weight_bytes=weights.bytes,
            shared_bytes=memory.shared_bytes,
            private_bytes=memory.private_bytes,
            io_bytes=memory.io_bytes,
            tiu_commands=sum(c.engine is Engine.TIU for c in commands),
            tdma_commands=sum(c.engine is Engine.TDMA for c in commands),
        )


@dataclass(frozen=True)
class _Lowered:
    """A segment with its commands; ends: how many there are after each op."""

    segment: Segment
    commands: tuple[Command, ...]
    ends: tuple[int, ...]

    @property
    def idle(self) -> bool:
        """A TPU segment in which nothing happens."""
        return self.segment.unit is Unit.TPU and not self.commands


__all__ = ["CompileReport", "Compiled", "compile_graph", "compile_with_report"]
