"""Real networks keep the values of every layer that simplification leaves."""

from __future__ import annotations

import pytest
from pictures import assert_same_values

from cvi.ops import BatchNorm, Relu
from cvi.passes import SIMPLIFY, simplify


@pytest.mark.parametrize(
    ("folder", "file", "ops"),
    [
        ("mnist", "mnist.onnx", 8),
        ("resnet20_cifar10", "resnet20_cifar10.onnx", 36),
        ("mobilenet_v1_0.25_128", "mobilenet_v1_0.25_128_quant_float.onnx", 32),
        ("pfld", "pfld.onnx", 61),
        ("ultraface_rfb320", "version-RFB-320.onnx", 92),
    ],
)
def test_real_networks(shared, folder, file, ops):
    frontend = pytest.importorskip("cvi_frontend_onnx.frontend")
    path = shared / "models" / "onnx" / folder / file
    if not path.exists():
        pytest.skip(f"{path} is not here")
    graph = frontend.OnnxFrontend().load(path)
    after = simplify(graph)
    assert len(after.ops) <= ops
    assert not [op.name for op in after if isinstance(op, (BatchNorm, Relu))]
    for p in SIMPLIFY:
        assert p.ensures(after) == []
    assert_same_values(graph, after, 1e-4)
