"""A plugin that adds an op on the CPU: compiled, stored, and run by our runtime."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvi import plugins
from cvi.errors import ModelError, PluginError, UnsupportedError
from cvi.execute import evaluate
from cvi.hookspecs import hookimpl
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import compile_graph, compile_with_report
from cvi_tpu.codegen.constraints import check
from cvi_tpu.codegen.cpu import CpuCall, OnCpu
from cvi_tpu.codegen.kernels.eltwise import TiledEltwise, elementwise
from cvi_tpu.codegen.partition import Unit, lowering_of, unit_of
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Copy, Tiu
from cvi_tpu.isa.operands import Local
from cvi_tpu.model import SectionKind, decode_arguments, read
from cvi_tpu.quantized.ops import Dequantize, Int8Clip, Int8Op
from cvi_tpu.runtime import Call, Runtime
from cvi_tpu.runtime.functions import find_cpu_function


@dataclass(frozen=True, kw_only=True)
class AcmeScaled(Op):
    """x * factor, on the CPU."""

    factor: float = 1.0

    def infer(self, inputs: Sequence[TensorType | None]) -> TensorType:
        (x,) = inputs
        assert x is not None
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return x * np.float32(self.factor)


def rule(op: Op) -> CpuCall:
    assert isinstance(op, AcmeScaled)
    return CpuCall("acme_scaled", {"factor": op.factor})


def scaled(call: Call) -> list[Array]:
    x, factor = call.fp32(0), call.argument("factor", float)
    call.fills(x.size)
    return [x * np.float32(factor)]


class Kernels:
    def __init__(self, additions: Mapping[Any, Any]) -> None:
        self.additions = additions
        self.asked: list[str] = []

    @hookimpl
    def cvi_register_kernels(self, family: str) -> Mapping[Any, Any]:
        self.asked.append(family)
        return self.additions if family == "cv18xx" else {}


@pytest.fixture
def pm(monkeypatch: pytest.MonkeyPatch) -> Iterator[plugins.PluginManager]:
    """A manager with no plugins at all, in place of the real one."""
    manager = plugins.PluginManager()
    monkeypatch.setattr(plugins, "manager", lambda: manager)
    yield manager


ACME = {AcmeScaled: OnCpu(rule), "acme_scaled": scaled}


def network() -> Graph:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 2, 3, 4), DType.INT8, 0.5)))
    graph.add(Int8Clip(name="a", inputs=("x",), minimum=0, maximum=9, out_scale=0.5))
    graph.add(Dequantize(name="d", inputs=("a",), scale=0.5))
    graph.add(AcmeScaled(name="s", inputs=("d",), factor=1.5))
    graph.outputs = ("s",)
    return graph


def test_an_op_of_a_plugin_becomes_a_call_and_runs(pm: plugins.PluginManager) -> None:
    kernels = Kernels(ACME)
    pm.register(kernels, "acme")
    assert check(network(), CV183X) == []
    model = read(compile_graph(network(), CV183X))
    routine = model.programs[0].routines[-1]
    assert routine.cpu is not None and routine.cpu.function == "acme_scaled"
    assert decode_arguments(routine.cpu.args) == {"factor": 1.5}
    x = np.arange(-12, 12, dtype=np.int8).reshape(1, 2, 3, 4)
    got = Runtime(model, spec=CV183X).run({"x": x})["s"]
    np.testing.assert_array_equal(got, np.clip(x, 0, 9) * np.float32(0.75))
    assert set(kernels.asked) == {"cv18xx"}


def test_without_the_plugin_the_op_is_named(pm: plugins.PluginManager) -> None:
    (problem,) = check(network(), CV183X)
    assert problem.startswith("s (AcmeScaled): The TPU has no kernel")


def test_without_the_plugin_the_function_is_named(pm: plugins.PluginManager) -> None:
    pm.register(kernels := Kernels(ACME), "acme")
    model = read(compile_graph(network(), CV183X))
    pm.unregister(kernels)
    with pytest.raises(UnsupportedError, match=r"no CPU function 'acme_scaled'.*plugin"):
        Runtime(model, spec=CV183X).run({"x": np.zeros((1, 2, 3, 4), np.int8)})


def test_near_names_of_plugins_are_proposed(pm: plugins.PluginManager) -> None:
    pm.register(Kernels(ACME), "acme")
    with pytest.raises(UnsupportedError, match="did you mean acme_scaled"):
        find_cpu_function("acme_scale")


def test_arguments_of_a_plugins_function_are_checked() -> None:
    from cvi_tpu.model import Tensor

    call = Call(inputs=[], arguments={"factor": 2}, outputs=[Tensor(name="y", shape=(1, 1, 1, 1))])
    with pytest.raises(ModelError, match="1 or more inputs"):
        scaled(call)


def test_a_tpu_kernel_of_a_plugin_is_found(pm: plugins.PluginManager) -> None:
    def lower(op: Op, context: Any) -> None:
        """Emits nothing."""

    op = network().ops[-1]
    assert unit_of(op) is None
    pm.register(Kernels({AcmeScaled: lower}), "acme")
    assert lowering_of(op) is lower
    assert unit_of(op) is Unit.TPU


def test_the_libraries_of_a_function_are_in_the_file(
    pm: plugins.PluginManager, tmp_path: Path
) -> None:
    library = tmp_path / "acme.so"
    library.write_bytes(struct.pack("<4sBB10xHH", b"\x7fELF", 2, 1, 3, 62))
    pm.register(Kernels({**ACME, AcmeScaled: OnCpu(rule, x86=library)}), "acme")
    (section,) = (
        s for s in read(compile_graph(network(), CV183X)).sections if s.kind is SectionKind.X86
    )
    assert (section.name, section.data) == ("acme.so", library.read_bytes())


@dataclass(frozen=True, kw_only=True)
class AcmeNegative(Int8Op):
    """-x, saturated."""

    def infer(self, inputs: Sequence[TensorType | None]) -> TensorType:
        (x,) = inputs
        assert x is not None
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return np.minimum(-x.astype(np.int16), 127).astype(np.int8)


class TiledNegative(TiledEltwise):
    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        return [
            Arith(
                op=ArithOp.MUL, result=result, left=operands[0], right=Const(-1), layer=self.layer
            )
        ]


@pytest.mark.parametrize("fuse", [True, False])
def test_a_tpu_kernel_of_a_plugin_is_fused_with_its_neighbours(
    pm: plugins.PluginManager, fuse: bool
) -> None:
    pm.register(Kernels({AcmeNegative: elementwise(TiledNegative)}), "acme")
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 40, 9, 7), DType.INT8, 1.0)))
    graph.add(Int8Clip(name="a", inputs=("x",), minimum=-128, maximum=90, out_scale=1.0))
    graph.add(AcmeNegative(name="n", inputs=("a",), out_scale=1.0))
    graph.add(Int8Clip(name="y", inputs=("n",), minimum=-60, maximum=127, out_scale=1.0))
    graph.outputs = ("y",)
    compiled = compile_with_report(graph, CV183X, fuse=fuse)
    x = np.random.default_rng(1).integers(-128, 128, (1, 40, 9, 7)).astype(np.int8)
    got = Runtime(read(compiled.data), spec=CV183X).run({"x": x})["y"]
    np.testing.assert_array_equal(got, evaluate(graph, {"x": x})["y"])
    loads_and_stores = sum(isinstance(c.instruction, Copy) for c in compiled.commands[0])
    assert (loads_and_stores == 2) is fuse


@pytest.mark.parametrize(("key", "shown"), [("softmax", "softmax"), (Int8Clip, "Int8Clip")])
def test_what_the_family_has_cannot_be_replaced(
    pm: plugins.PluginManager, key: Any, shown: str
) -> None:
    pm.register(Kernels({key: OnCpu(rule) if key is Int8Clip else scaled}), "acme")
    with pytest.raises(
        PluginError, match=rf"'{shown}' is provided by both cvi-tpu-cv18xx and acme"
    ):
        if key is Int8Clip:
            check(network(), CV183X)
        else:
            find_cpu_function("acme_scaled")


def test_two_plugins_cannot_have_one_function(pm: plugins.PluginManager) -> None:
    pm.register(Kernels({"acme_scaled": scaled}), "acme")
    pm.register(Kernels({"acme_scaled": scaled}), "zenith")
    with pytest.raises(PluginError, match="both zenith and acme"):
        find_cpu_function("acme_scaled")


def test_other_families_are_not_asked(pm: plugins.PluginManager) -> None:
    pm.register(Kernels(ACME), "acme")
    assert plugins.kernels("rk") == {}
