"""onnx's own node tests, through benchmarks/onnx_ops.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cvi_frontend_onnx.registry import built_in

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "onnx_ops.py"

# fmt: off
MUST_PASS_ON_DATA = {
    "Abs", "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "CastLike", "Celu", "Clip",
    "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Div", "Dropout", "Elu", "Erf", "Exp",
    "Expand", "Flatten", "Gather", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
    "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "LogSoftmax", "MatMul", "Max",
    "MaxPool", "Mean", "Min", "Mish", "Mul", "Neg", "PRelu", "Pad", "Pow", "Reciprocal", "ReduceL2",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Selu",
    "Sigmoid", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt",
    "Squeeze", "Sub", "Sum", "Swish", "Tanh", "Tile", "Transpose", "Unsqueeze", "Upsample",
}
# fmt: on


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("onnx_ops_benchmark", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def outcomes(benchmark: ModuleType) -> list[Any]:
    found: list[Any] = benchmark.outcomes()
    return found


@pytest.mark.slow
def test_no_node_test_fails(outcomes: list[Any]) -> None:
    failed = [o for o in outcomes if o.status == "failed"]
    assert not failed, "\n".join(f"{o.test}: {o.reason}" for o in failed)
    assert len([o for o in outcomes if o.op in built_in()]) > 700


@pytest.mark.slow
def test_every_data_op_passes_on_data(outcomes: list[Any]) -> None:
    passing = {o.op for o in outcomes if o.status == "data"}
    assert passing >= MUST_PASS_ON_DATA


@pytest.mark.slow
def test_every_refusal_says_why(outcomes: list[Any]) -> None:
    assert all(len(o.reason) > 5 for o in outcomes if o.status == "refused")


@pytest.mark.slow
def test_ops_without_converter_are_refused_by_name(outcomes: list[Any]) -> None:
    others = [o for o in outcomes if o.op not in built_in()]
    assert len(others) > 300
    assert {o.status for o in others} == {"refused"}


@pytest.mark.slow
def test_page_is_up_to_date(benchmark: ModuleType, outcomes: list[Any]) -> None:
    assert benchmark.PAGE.read_text() == benchmark.page(outcomes)
