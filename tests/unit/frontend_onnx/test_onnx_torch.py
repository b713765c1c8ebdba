"""Files that PyTorch's exporters wrote, through benchmarks/torch_exports.py (which makes them)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from benchmarks.torch_exports import FIXTURES, compare

from cvi.passes import simplify
from cvi_frontend_onnx.frontend import OnnxFrontend

FOLDER = Path(__file__).parent / "torch"
FILES = sorted(path.stem for path in FOLDER.glob("*.onnx"))


def test_all_fixtures_are_here() -> None:
    assert sorted(name.replace(" ", "_") for name in FIXTURES) == FILES


@pytest.mark.parametrize("name", FILES)
def test_every_layer_is_that_of_onnxruntime(name: str) -> None:
    assert compare(FOLDER / f"{name}.onnx") == ""


FUSED = {
    "convnext_torchscript-13": {"LayerNorm": 2, "Gelu": 1},
    "convnext_dynamo-18": {"LayerNorm": 2, "Gelu": 1},
    "encoder_layer_dynamo-23": {"LayerNorm": 2, "Softmax": 1, "MatMul": 2},
    "lstm_two_way_torchscript-17": {"Lstm": 1},
    "gru_two_way_state_torchscript-11": {"Gru": 1},
    "inverted_torchscript-13": {"HardSwish": 3, "HardSigmoid": 1},
    "deviations_torchscript-13": {"Std": 9, "Sqrt": 0},
    "deviations_dynamo-20": {"Std": 8, "Sqrt": 0},
    "activations_dynamo-18": {"Gelu": 2, "Mish": 1, "HardSwish": 1},
}


@pytest.mark.parametrize("name", FUSED)
def test_decompositions_are_put_together_again(name: str) -> None:
    graph = simplify(OnnxFrontend().load(FOLDER / f"{name}.onnx"))
    kinds = Counter(op.kind for op in graph)
    assert {kind: kinds[kind] for kind in FUSED[name]} == FUSED[name]
    assert not kinds["Erf"]
