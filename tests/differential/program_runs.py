"""Runs compiled graphs on the vendor's runtime and on our simulator, for comparison with
the ops' own meaning."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.compile import Compiled, compile_with_report
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime


def on_vendor(
    compiled: Compiled, feeds: Mapping[str, Array], *, all_tensors: bool = False
) -> dict[str, Array]:
    """Results of the vendor's runtime and simulator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.cvimodel"
        path.write_bytes(compiled.data)
        return VendorRunner().run(path, feeds, timeout=120, all_tensors=all_tensors)


def on_simulator(
    compiled: Compiled, feeds: Mapping[str, Array], *, all_tensors: bool = False
) -> dict[str, Array]:
    """Results of our runtime and simulator."""
    return Runtime(read(compiled.data)).run(feeds, all_tensors=all_tensors)


def check_program(
    graph: Graph, feeds: Mapping[str, Array], *, spec: ChipSpec = CV183X,
    keep_tensors: bool = False, lane_bytes: int | None = None, vendor: bool = False,
) -> Compiled:  # fmt: skip
    """Compile, run, and compare every result byte for byte with the ops' own meaning."""
    compiled = compile_with_report(graph, spec, keep_tensors=keep_tensors, lane_bytes=lane_bytes)
    for commands in compiled.commands:
        assert not find_races(commands, spec)
    run = on_vendor if vendor else on_simulator
    got = run(compiled, feeds, all_tensors=keep_tensors)
    names = [op.name for op in graph.ops] if keep_tensors else list(graph.outputs)
    expected = evaluate(graph, feeds, outputs=names)
    for name in names:
        if keep_tensors and name not in got:
            assert graph[name].type.dtype.size != 1, f"{name} is not listed"
            continue
        want = expected[name]
        same = got[name].dtype == want.dtype and np.array_equal(got[name].ravel(), want.ravel())
        assert same, f"{name} differs: {graph[name]}"
    return compiled
