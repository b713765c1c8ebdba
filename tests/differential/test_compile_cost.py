"""The cost model agrees with the independent estimator that reads the file's bytes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from compile_cases import random_network
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from kernel_cases import KERNELS, case_graph

from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import Compiled, compile_with_report
from cvi_tpu.cost import Totals, cost, schedule
from cvi_tpu.isa.instructions import Copy, Instruction, LinearCopy, Tdma, Transpose
from cvi_tpu.isa.operands import Dram
from cvi_tpu.isa.program import Program
from cvi_tpu.isa.stream import cmdbuf
from isa_strategies import instructions


@pytest.fixture(scope="module")
def estimator(shared: Path) -> ModuleType:
    """The stand-alone estimator `cycles.py`, which shares no code with ours."""
    folder = str(shared / "vendor")
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location("cycles", shared / "vendor" / "cycles.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["cycles"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def check_agreement(compiled: Compiled, estimator: ModuleType) -> None:
    ours = sum((schedule(commands, CV183X) for commands in compiled.commands), Totals())
    theirs, _ = estimator.estimate(compiled.data)
    assert ours.makespan == pytest.approx(theirs.makespan)
    assert ours.tiu_cycles == pytest.approx(theirs.tiu_cycles)
    assert ours.tdma_cycles == pytest.approx(theirs.tdma_cycles)
    assert (ours.read, ours.written) == (theirs.dram_read, theirs.dram_written)
    assert ours.macs == theirs.macs
    assert ours.tiu_commands == theirs.tiu_commands == compiled.report.tiu_commands
    assert ours.tdma_commands == theirs.tdma_commands == compiled.report.tdma_commands
    assert compiled.report.weight_bytes == theirs.weight_bytes
    assert compiled.report.shared_bytes == theirs.shared_bytes
    assert compiled.report.private_bytes == theirs.private_bytes


@pytest.mark.parametrize("seed", range(300, 320))
def test_estimates_of_networks(seed: int, estimator: ModuleType) -> None:
    graph, _ = random_network(seed)
    check_agreement(compile_with_report(graph, CV183X), estimator)


@pytest.mark.parametrize("kind", KERNELS)
def test_estimates_of_kernels(kind: str, estimator: ModuleType) -> None:
    @settings(
        max_examples=6, derandomize=True, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(KERNELS[kind], min_size=1, max_size=2))
    def run(cases: list) -> None:  # type: ignore[type-arg]
        graph, _ = case_graph(cases)
        check_agreement(compile_with_report(graph, CV183X), estimator)

    run()


@settings(max_examples=1500, derandomize=True, deadline=None, phases=[Phase.generate])
@given(instruction=st.deferred(lambda: instructions(CV183X)))
def test_estimates_of_single_instructions(estimator: ModuleType, instruction: Instruction) -> None:
    """Every kind of instruction, whether a kernel uses it or not.

    Left out, because the estimator miscounts their bytes: linear copies from DRAM to DRAM
    (it takes the n stride for the size) and n-c transposes (it takes the source's n for both
    sides).
    """
    if isinstance(instruction, LinearCopy):
        assume(not (isinstance(instruction.source, Dram) and isinstance(instruction.target, Dram)))
    assume(not (isinstance(instruction, Copy) and instruction.transpose is Transpose.NC))
    decoder = sys.modules["tpu_decode"]
    program = Program(CV183X)
    program.emit(instruction)
    (command,) = decoder.decode_cmdbuf(cmdbuf(program.commands(), CV183X), "cv183x")
    if isinstance(instruction, Tdma):
        theirs = estimator.tdma_cost(command.f)
    else:
        theirs = estimator.tiu_cost(command.f, estimator.CHIPS["cv183x"])
    ours = cost(instruction, CV183X)
    assert ours.cycles == pytest.approx(theirs.cycles)
    assert (ours.read, ours.written, ours.macs) == (theirs.read, theirs.written, theirs.macs)
