"""Ops that run on the CPU, as functions of the vendor's runtime (FACTS_CVIMODEL 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvi.ir import Op
from cvi_tpu.quantized.ops import CpuFunction, CpuSoftmax, Dequantize, Quantize


@dataclass(frozen=True)
class CpuCall:
    """A function of the runtime with its arguments; the types of the values matter."""

    function: str
    arguments: Mapping[str, Any]


CpuRule = Callable[[Op], CpuCall]

CPU_RULES: dict[type[Op], CpuRule] = {}


@dataclass(frozen=True)
class OnCpu:
    """What a plugin's `cvi_register_kernels` gives for an op that runs on the CPU.

    x86, aarch64: shared libraries with the function for the vendor's runtime, which go into
    the program file; None where the runtime has the function itself, or nobody needs it on
    that processor.
    """

    rule: CpuRule
    x86: Path | None = None
    aarch64: Path | None = None


def runs_on_cpu(kind: type[Op]) -> Callable[[CpuRule], CpuRule]:
    """Register the decorated function as the way this op becomes a CPU routine."""

    def register(function: CpuRule) -> CpuRule:
        CPU_RULES[kind] = function
        return function

    return register


@runs_on_cpu(CpuFunction)
def call_function(op: Op) -> CpuCall:
    assert isinstance(op, CpuFunction)
    return CpuCall(op.function, dict(op.arguments))


@runs_on_cpu(Quantize)
def call_quantize(op: Op) -> CpuCall:
    assert isinstance(op, Quantize)
    return CpuCall("quant", {"from": "FP32", "to": "INT8", "scale": float(op.scale)})


@runs_on_cpu(Dequantize)
def call_dequantize(op: Op) -> CpuCall:
    assert isinstance(op, Dequantize)
    return CpuCall("quant", {"from": "INT8", "to": "NONE", "scale": float(op.scale)})


@runs_on_cpu(CpuSoftmax)
def call_softmax(op: Op) -> CpuCall:
    assert isinstance(op, CpuSoftmax)
    return CpuCall("softmax", {"axis": int(op.axis)})
