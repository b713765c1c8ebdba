"""Real and random models: every layer agrees with onnxruntime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi_frontend_onnx.executor import OnnxRuntimeExecutor
from cvi_frontend_onnx.frontend import OnnxFrontend

REAL = [
    "mnist/mnist",
    "mobilenet_v1_0.25_128/mobilenet_v1_0.25_128_quant_float",
    "nanodet_320/nanodet",
    "pfld/pfld",
    "resnet20_cifar10/resnet20_cifar10",
    "resnet56_cifar10/resnet56_cifar10",
    "super_resolution/super_resolution",
    "torch_mobilenet_v2/torch_mobilenet_v2_float",
    "ultraface_rfb320/version-RFB-320",
    "ultraface_rfb320/version-RFB-320_without_postprocessing",
    "unet_sedgen/unet",
    "yunet/yunet_n_320_320",
]
RANDOM = [
    "densenet121",
    "efficientnet_b0",
    "mobilenet_v1_025",
    "mobilenet_v2",
    "resnet18",
    "shufflenet_v2",
    "squeezenet1_1",
    "yolov3_tiny",
]
LIGHT = {"mnist/mnist", "resnet20_cifar10/resnet20_cifar10", "pfld/pfld"}


def images(graph: Graph) -> dict[str, Array]:
    """Smooth pictures in 0..1, so that no layer sees only noise."""
    rng = np.random.default_rng(1)
    found = {}
    for op in graph.inputs:
        n, c, h, w = op.type.shape
        y, x = np.mgrid[0:h, 0:w] / max(h, w)
        waves = [np.sin(rng.uniform(3, 20) * x + rng.uniform(3, 20) * y) for _ in range(n * c)]
        found[op.name] = np.stack(waves).reshape(n, c, h, w).astype(np.float32) * 0.5 + 0.5
    return found


def assert_layers_agree(graph: Graph, got: dict[str, Array], want: dict[str, Array]) -> None:
    """Cosine of every layer with a source; tiny values (saturated sigmoids) by difference."""
    compared = 0
    for op in graph:
        if op.source not in want:
            continue
        a, b = (np.asarray(v, np.float64).ravel() for v in (got[op.name], want[op.source]))
        assert got[op.name].shape == want[op.source].shape, op.name
        scale = float(np.linalg.norm(a) * np.linalg.norm(b))
        cosine = float(a @ b) / scale if scale else float(np.array_equal(a, b))
        assert cosine >= 0.9999 or np.max(np.abs(a - b)) < 1e-6, (op.name, cosine)
        compared += 1
    assert compared >= len(graph.ops) * 0.9


def check_model(path: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> Graph:
    frontend = OnnxFrontend()
    assert frontend.accepts(path)
    graph = frontend.load(path, input_shapes=shapes)
    feeds = images(graph)
    sources = [op.source for op in graph if op.source]
    want = frontend.reference(path, feeds, tensors=sources)
    session = OnnxRuntimeExecutor().session(graph, [op.name for op in graph])
    assert_layers_agree(graph, session.run(feeds), want)
    return graph


@pytest.mark.parametrize("name", REAL)
def test_real_models(shared: Path, name: str) -> None:
    graph = check_model(shared / "models" / "onnx" / f"{name}.onnx")
    assert all(op.name in graph for op in graph.inputs)


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_real_models_by_our_own_evaluation(shared: Path, name: str) -> None:
    path = shared / "models" / "onnx" / f"{name}.onnx"
    graph = OnnxFrontend().load(path)
    feeds = images(graph)
    got = evaluate(graph, feeds, keep=True)
    assert_layers_agree(graph, got, OnnxFrontend().reference(path, feeds))


def test_dynamic_model_with_input_shape(shared: Path) -> None:
    path = shared / "models" / "onnx" / "yunet" / "yunet_n_dynamic.onnx"
    graph = check_model(path, {"input": (1, 3, 160, 128)})
    assert graph["cls_8_Sigmoid"].type.shape == (1, 20 * 16, 1)


@pytest.fixture(scope="session")
def expanded(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random-weight models as ordinary files."""
    folder = tmp_path_factory.mktemp("random")
    spec = importlib.util.spec_from_file_location(
        "expand", shared / "models" / "random" / "expand.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in RANDOM:
        module.expand(shared / "models" / "random" / f"{name}.npz", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", RANDOM)
def test_random_models(expanded: Path, name: str) -> None:
    check_model(expanded / f"{name}.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2", "yolov3_tiny"])
def test_batch_of_a_fixed_model(expanded: Path, name: str) -> None:
    """The reference runs the images in turns, the imported graph at once."""
    path = expanded / f"{name}.onnx"
    graph = OnnxFrontend().load(path, batch=3)
    assert {op.type.shape[0] for op in graph.inputs} == {3}
    feeds = images(graph)
    outputs = list(graph.outputs)
    got = OnnxRuntimeExecutor().session(graph, outputs).run(feeds)
    want = OnnxFrontend().reference(path, feeds, tensors=[graph[o].source for o in outputs])
    for name in outputs:
        np.testing.assert_allclose(got[name], want[graph[name].source], rtol=1e-3, atol=1e-3)


def test_batch_of_a_model_with_shapes_baked_in(shared: Path) -> None:
    path = shared / "models" / "onnx" / "yunet" / "yunet_n_320_320.onnx"
    graph = OnnxFrontend().load(path, batch=2)
    assert {graph[name].type.shape[0] for name in graph.outputs} == {2}
