"""The op on the CPU: in the quantised graph, in the program file, and in the simulator."""

from __future__ import annotations

from pathlib import Path

from acme_cpu_op.unit_max import AcmeUnitMax, scaled
from cvi.ir import Array, Graph, Op
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.cpu import CpuCall, OnCpu
from cvi_tpu.quantized.registry import requires
from cvi_tpu.quantized.rewriter import Rewriter
from cvi_tpu.runtime import Call


def keep_float(op: AcmeUnitMax, to: Rewriter) -> None:
    """INT8 networks compute it in fp32 too; casts are added where they are needed."""
    to.define_fp32(op.with_(inputs=(to.fp32(op.inputs[0]),)))


@requires(AcmeUnitMax)
def runs_on_the_cpu(op: AcmeUnitMax, graph: Graph, spec: ChipSpec) -> bool:
    """the chip's runtime has no CPU functions, and there is no TPU kernel

    end the network before it with --outputs, and scale the rows on the host
    """
    return spec.has_cpu_functions


def call_unit_max(op: Op) -> CpuCall:
    """The call in the program file. A file has four dimensions, so rows are given by length."""
    assert isinstance(op, AcmeUnitMax)
    return CpuCall("acme_unit_max", {"row": op.type.shape[-1], "floor": op.floor})


def run_unit_max(call: Call) -> list[Array]:
    """What the simulator does for the call."""
    x, row = call.fp32(0), call.positive("row")
    call.fills(x.size)
    return [scaled(x.reshape(-1, row), call.argument("floor", float))]


def _library(processor: str) -> Path | None:
    """What `build_libraries.py` made, None where there was no compiler."""
    path = Path(__file__).with_name(f"libacme_{processor}.so")
    return path if path.is_file() else None


KERNEL = OnCpu(call_unit_max, x86=_library("x86"), aarch64=_library("aarch64"))
