"""Loads a program file and runs its programs, as the vendor's runtime does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cvi.errors import CviError, InputError, ModelError, RunnerError
from cvi.ir.types import Array
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import Command
from cvi_tpu.model.arguments import decode_arguments
from cvi_tpu.model.schema import CviModelFile, Program, Routine, Tensor
from cvi_tpu.runtime.encode import encode_input
from cvi_tpu.runtime.functions import Call, CpuFunction, Operand, find_cpu_function
from cvi_tpu.runtime.gmem import Gmem
from cvi_tpu.sim.blas import single_threaded
from cvi_tpu.sim.machine import Machine
from cvi_tpu.sim.schedule import Schedule, ordered


class Runtime:
    """A program file, ready to run.

    spec: the chip; looked up by the file's chip name when None.
    schedule, seed: the order of the two engines' commands (`cvi_tpu.sim.schedule`).
    Memory lasts from run to run, as on a chip. Raises ModelError for a file that cannot
    be run and UnsupportedError for CPU functions and instructions that we do not have.
    """

    def __init__(
        self,
        model: CviModelFile,
        *,
        spec: ChipSpec | None = None,
        schedule: Schedule = Schedule.PROGRAM,
        seed: int = 0,
    ) -> None:
        major, minor, _ = model.version
        if major == 1 and minor > 4:
            raise ModelError(
                f"the file has version {major}.{minor}; runtimes of this family read up to 1.4",
                fix="build the file again with this toolchain",
            )
        self._model, self._schedule, self._seed = model, schedule, seed
        self.spec = spec if spec is not None else chip_spec(model.chip)
        self._loaded: dict[int, _Loaded] = {}

    def program(self, index: int) -> Program:
        """The program at `index`; InputError when there is none."""
        if not 0 <= index < len(self._model.programs):
            count = len(self._model.programs)
            raise InputError(f"program {index} was asked for, the file has {count} (from 0)")
        return self._model.programs[index]

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        program: int = 0,
        all_tensors: bool = False,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Outputs by name in their stored types, BF16 as uint16.

        Floats for an integer input are quantised by the host rule (`encode_input`).
        all_tensors: all tensors whose memory is not reused, by name. timeout: seconds.
        """
        self.program(program)
        if program not in self._loaded:
            self._loaded[program] = _Loaded(self._model, program, self.spec)
        loaded = self._loaded[program]
        loaded.feed(inputs)
        deadline = None if timeout is None else time.monotonic() + timeout
        with single_threaded():
            for step in loaded.steps:
                step.run(loaded, self._schedule, self._seed, deadline)
        return loaded.outputs(all_tensors)


def chip_spec(name: str) -> ChipSpec:
    """The numbers of an installed chip; PluginError when it is not installed."""
    from cvi.plugins import chip

    spec = getattr(chip(name), "spec", None)
    if not isinstance(spec, ChipSpec):
        raise RunnerError(f"chip {name} is of another family and cannot be simulated here")
    return spec


class _Loaded:
    """One program with its memory."""

    def __init__(self, model: CviModelFile, index: int, spec: ChipSpec) -> None:
        self.model, self.program, self.spec = model, model.programs[index], spec
        self.gmem = Gmem(model, self.program)
        self.machine = Machine(spec, self.gmem.dram)
        self.steps = [self._step(i, r) for i, r in enumerate(self.program.routines)]
        for name in (*self.program.inputs, *self.program.outputs):
            self.program.tensor(name)

    def _step(self, index: int, routine: Routine) -> _TpuStep | _CpuStep:
        where = f"routine {index}"
        if routine.tpu is not None:
            name = routine.tpu.cmdbuf if routine.tpu.cmdbuf is not None else routine.tpu.dmabuf
            if name is None:
                raise ModelError("the routine names no commands", where=where)
            return _TpuStep(where, self.model.section(name).content(), self.spec)
        if routine.cpu is None:
            raise ModelError("the routine has neither commands nor a function", where=where)
        function = find_cpu_function(routine.cpu.function)
        return _CpuStep(f"{where} ({routine.cpu.function})", function, routine, self)

    def operand(self, name: str) -> Operand:
        """A tensor of the program, else a weight, by name."""
        if any(tensor.name == name for tensor in self.program.tensors):
            tensor = self.program.tensor(name)
            return Operand(name, tensor.dtype, self.gmem.array(tensor))
        for weight in self.model.weight_map:
            if weight.name == name:
                return Operand(name, weight.element.dtype, self.gmem.weight(weight))
        raise ModelError("a CPU function reads what is neither tensor nor weight", where=name)

    def feed(self, inputs: Mapping[str, Array]) -> None:
        wanted = self.program.inputs
        if set(inputs) != set(wanted):
            raise InputError(
                f"the program reads {', '.join(wanted)}; given: {', '.join(inputs) or 'nothing'}"
            )
        for name in wanted:
            tensor = self.program.tensor(name)
            self.gmem.bytes_of(tensor)[...] = encode_input(inputs[name], tensor)

    def outputs(self, all_tensors: bool) -> dict[str, Array]:
        names = self.program.outputs
        if all_tensors:
            names = tuple(sorted({t.name for t in self.program.tensors if not t.overwrote}))
        return {name: self.gmem.array(self.program.tensor(name)).copy() for name in names}


@dataclass(frozen=True)
class _TpuStep:
    """Commands of the TPU; decoded at the first run."""

    where: str
    cmdbuf: bytes
    spec: ChipSpec

    @cached_property
    def commands(self) -> Sequence[Command]:
        from cvi_tpu.isa.stream import parse_cmdbuf

        return parse_cmdbuf(self.cmdbuf, self.spec)

    def run(self, loaded: _Loaded, schedule: Schedule, seed: int, deadline: float | None) -> None:
        for command in _until(ordered(self.commands, schedule, seed=seed), deadline):
            try:
                loaded.machine.execute(command.instruction)
            except CviError as error:
                place = f"{self.where}, {command.engine.name} command {command.id}"
                error.where = f"{place}, {error.where}"
                raise


def _until(commands: Iterator[Command], deadline: float | None) -> Iterator[Command]:
    for command in commands:
        if deadline is not None and time.monotonic() > deadline:
            raise RunnerError("the simulation did not end within the time-out")
        yield command


@dataclass(frozen=True)
class _CpuStep:
    """A call of a CPU function."""

    where: str
    function: CpuFunction
    routine: Routine
    loaded: _Loaded

    def run(self, loaded: _Loaded, schedule: Schedule, seed: int, deadline: float | None) -> None:
        assert self.routine.cpu is not None
        try:
            call = Call(
                inputs=[loaded.operand(name) for name in self.routine.inputs],
                arguments=decode_arguments(self.routine.cpu.args),
                outputs=[loaded.program.tensor(name) for name in self.routine.outputs],
            )
            with np.errstate(all="ignore"):  # the boards do not warn either
                results = self.function(call)
            if len(results) != len(call.outputs):
                raise ModelError(f"it writes {len(results)} tensors, not {len(call.outputs)}")
            for tensor, values in zip(call.outputs, results, strict=True):
                _put(loaded.gmem, tensor, values)
        except MemoryError:
            raise RunnerError("it needs more memory than there is", where=self.where) from None
        except CviError as error:
            error.where = f"{self.where}{': ' if error.where else ''}{error.where}"
            raise


def _put(gmem: Gmem, tensor: Tensor, values: Array) -> None:
    if values.dtype != tensor.dtype.numpy or values.nbytes != tensor.bytes:
        raise RunnerError(
            f"a CPU function gives {values.dtype} {values.shape} for a tensor of"
            f" {tensor.dtype.value} {tensor.shape}",
            where=tensor.name,
        )
    raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    gmem.bytes_of(tensor)[...] = raw
