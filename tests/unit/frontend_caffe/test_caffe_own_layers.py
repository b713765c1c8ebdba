"""Layers that OpenCV lacks or reads differently, against numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from caffe_nets import Made, close, inputs_text, layer_text, loaded, numbers, values

from cvi.errors import CviError, ModelError, UnsupportedError
from cvi.ir import Array


@dataclass(frozen=True)
class Case:
    """A layer, and what it computes of its bottoms."""

    kind: str
    expected: Callable[..., Array]
    params: str = ""
    shapes: Sequence[Sequence[int]] = ((2, 4, 6, 5),)
    blobs: Sequence[Array] = ()


W, B = numbers(4, seed=1), numbers(4, seed=2)
V = numbers(4, seed=3, low=0.1)
ROWS = numbers(7, 3)


def per_channel(values: Array) -> Array:
    return values.reshape(1, -1, 1, 1)


def zoomed(x: Array, h: int, w: int) -> Array:
    """Bilinear with the corners kept, in fp64."""
    for axis, size in ((2, h), (3, w)):
        last = x.shape[axis] - 1
        at = np.arange(size) * (last / (size - 1) if size > 1 else 0.0)
        low = np.minimum(np.floor(at).astype(int), last)
        part = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        x = x.take(low, axis) * (1 - part) + x.take(np.minimum(low + 1, last), axis) * part
    return x


CASES = {
    "bn": Case(
        "BN",
        lambda x: (x - per_channel(W)) / np.sqrt(per_channel(V) + 1e-5) * per_channel(B)
        + per_channel(W),
        blobs=(B.reshape(1, 4, 1, 1), W.reshape(1, 4, 1, 1), W, V),
    ),
    "bn_inference": Case(
        "BN",
        lambda x: x * per_channel(W) + per_channel(B),
        "bn_param { bn_mode: INFERENCE }",
        blobs=(W, B),
    ),
    "batch_norm_of_nvidia": Case(
        "BatchNorm",
        lambda x: (x - per_channel(W)) / np.sqrt(per_channel(V) + 1e-5) * per_channel(B)
        + per_channel(W),
        blobs=(W, V, np.ones(1, np.float32), B, W),
    ),
    "bias": Case("Bias", lambda x: x + per_channel(B), blobs=(B,)),
    "bias_of_blob": Case(
        "Bias", lambda x, y: x + y[:, :, None, None], "bias_param { axis: 0 }",
        ((2, 4, 6, 5), (2, 4)),
    ),
    "bias_rows": Case(
        "Bias", lambda x: x + ROWS[:6, 0].reshape(1, 1, 6, 1), "bias_param { axis: 2 }",
        blobs=(ROWS[:6, 0],),
    ),
    "scale_blob_and_bias": Case(
        "Scale", lambda x, y: x * y[:, :, None, None] + W.reshape(2, 2, 1, 1),
        "scale_param { axis: 0 bias_term: true }", ((2, 2, 6, 5), (2, 2)), (W.reshape(2, 2),),
    ),
    "scale_scalar": Case(
        "Scale", lambda x: x * W[0], "scale_param { axis: 0 num_axes: 0 }", blobs=(W[:1],)
    ),
    "axpy": Case("Axpy", lambda a, x, y: a * x + y, "", ((2, 4, 1, 1), (2, 4, 6, 5), (2, 4, 6, 5))),
    "axpy_flat": Case(
        "Axpy", lambda a, x, y: a[..., None, None] * x + y, "",
        ((2, 4), (2, 4, 6, 5), (2, 4, 6, 5)),
    ),
    "mul": Case("Mul", lambda x, y: x * y, "", ((2, 4, 6, 5), (2, 4, 1, 1))),
    "eltwise_min": Case("Eltwise", np.minimum, "eltwise_param { operation: MIN }",
                        ((2, 4, 6, 5),) * 2),
    "eltwise_broadcast": Case("Eltwise", lambda x, y: x + y, "", ((2, 4, 6, 5), (2, 4, 1, 1))),
    "relu6_flag": Case("ReLU", lambda x: np.clip(x, 0, 6), "relu_param { relu6: true }"),
    "hard_swish": Case("HardSwish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "swish_beta": Case(
        "Swish", lambda x: x / (1 + np.exp(-2.5 * x)), "swish_param { beta: 2.5 }"
    ),
    "clip": Case("Clip", lambda x: np.clip(x, -0.5, 1), "clip_param { min: -0.5 max: 1 }"),
    "log": Case(
        "Log", lambda x: np.log2(0.5 * x * 0 + 3), "log_param { base: 2 scale: 0 shift: 3 }"
    ),
    "log_scaled": Case(
        "Log", lambda x: np.log10(0.01 * x + 3), "log_param { base: 10 scale: 0.01 shift: 3 }"
    ),
    "power_0": Case("Power", np.ones_like, "power_param { power: 0 scale: 3 }"),
    "power_of_a_constant": Case(
        "Power", lambda x: np.full_like(x, 8), "power_param { power: 3 scale: 0 shift: 2 }"
    ),
    "lrn_k": Case(
        "LRN", lambda x: x * (2 + 0.5 * x**2) ** -0.75,
        "lrn_param { local_size: 1 alpha: 0.5 k: 2 }",
    ),
    "inner_product_transposed": Case(
        "InnerProduct", lambda x: x.reshape(2, -1) @ np.tile(W, 60).reshape(120, 2),
        "inner_product_param { num_output: 2 transpose: true bias_term: false }",
        blobs=(np.tile(W, 60).reshape(120, 2),),
    ),
    "matmul": Case("MatMul", np.matmul, "", ((2, 3, 4), (2, 4, 5))),
    "slice_equal": Case("Slice", lambda x: x[:, :, :3], "slice_param { axis: 2 }"),
    "tile": Case("Tile", lambda x: np.tile(x, (1, 3, 1, 1)), "tile_param { axis: 1 tiles: 3 }"),
    "reverse": Case("Reverse", lambda x: x[:, ::-1], "reverse_param { axis: 1 }"),
    "padding": Case(
        "Padding", lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2), (3, 0)), constant_values=5),
        "padding_param { pad_t: 1 pad_b: 2 pad_l: 3 pad_value: 5 }",
    ),
    "squeeze": Case(
        "Squeeze", lambda x: x[:, :, 0], "squeeze_param { axis: 2 }", ((2, 4, 1, 5),)
    ),
    "reduction_sum": Case(
        "Reduction", lambda x: 0.5 * x.sum(axis=(2, 3)), "reduction_param { axis: 2 coeff: 0.5 }"
    ),
    "reduction_mean": Case(
        "Reduction", lambda x: x.mean(axis=(1, 2, 3)), "reduction_param { axis: 1 operation: MEAN }"
    ),
    "reduction_asum": Case(
        "Reduction", lambda x: np.abs(x).sum(axis=3), "reduction_param { axis: -1 operation: ASUM }"
    ),
    "reduction_sumsq": Case(
        "Reduction", lambda x: (x**2).sum(axis=3), "reduction_param { axis: 3 operation: SUMSQ }"
    ),
    "upsample": Case(
        "Upsample", lambda x: x.repeat(3, axis=2).repeat(3, axis=3), "upsample_param { scale: 3 }"
    ),
    "upsample_h_w": Case(
        "Upsample", lambda x: x.repeat(2, axis=2), "upsample_param { scale_h: 2 scale_w: 1 }"
    ),
    "upsample_to_a_size": Case(
        "Upsample", lambda x: x.repeat(2, axis=2).repeat(2, axis=3)[:, :, :11, :9],
        "upsample_param { scale: 2 upsample_h: 11 upsample_w: 9 }",
    ),
    "interp_zoom": Case(
        "Interp", lambda x: zoomed(x, 11, 9), "interp_param { zoom_factor: 2 }"
    ),
    "interp_shrink": Case(
        "Interp", lambda x: x[:, :, ::2, ::2], "interp_param { shrink_factor: 2 }",
        ((2, 4, 7, 5),),
    ),
    "interp_both": Case(
        "Interp", lambda x: zoomed(x, 10, 7), "interp_param { shrink_factor: 2 zoom_factor: 3 }",
        ((2, 4, 7, 5),),
    ),
    "interp_cut": Case(
        "Interp", lambda x: zoomed(x[:, :, 1:-2, 1:-2], 9, 8),
        "interp_param { height: 9 width: 8 pad_beg: -1 pad_end: -2 }",
    ),
    "mean_excluding_padding": Case(
        "Pooling", lambda x: np.ones_like(x),
        "pooling_param { pool: AVE_EXC_PAD kernel_size: 3 stride: 1 pad: 1 }",
    ),
    "darknet_pool": Case(
        "Pooling",
        lambda x: np.maximum.reduce([
            np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=-np.inf)[
                :, :, i : i + 6, j : j + 5
            ]
            for i in (0, 1) for j in (0, 1)
        ]),
        "pooling_param { kernel_size: 2 stride: 1 yolo: true }",
    ),
    "depthwise": Case(
        "DepthwiseConvolution", lambda x: x * per_channel(W) + per_channel(B),
        "convolution_param { num_output: 4 kernel_size: 1 }", blobs=(W.reshape(4, 1, 1, 1), B),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layer_computes_what_its_framework_documents(name: str, made: Made) -> None:
    case = CASES[name]
    shapes = {f"x{i}": shape for i, shape in enumerate(case.shapes)}
    tops = 2 if case.kind == "Slice" else 1
    text = layer_text(case.kind, case.params, bottoms=list(shapes), tops=tops)
    net, weights = made(inputs_text(shapes) + text, {"layer": case.blobs} if case.blobs else None)
    inputs = {n: numbers(*shape, seed=i) for i, (n, shape) in enumerate(shapes.items())}
    if name == "mean_excluding_padding":
        inputs = {n: np.ones_like(x) for n, x in inputs.items()}
    expected = np.asarray(case.expected(*inputs.values()))
    result = "layer_0" if tops > 1 else "layer"
    graph = loaded(net, weights)
    ours = values(graph, inputs)[result]
    assert ours.shape == expected.shape
    close(ours, expected)


def test_maxima_return_to_their_places(made: Made) -> None:
    """SegNet's pair: a pool with a mask and the upsampling that uses it, sizes odd too."""
    for h, w in ((4, 6), (5, 7)):
        text = (
            inputs_text({"x": (1, 2, h, w)})
            + 'layer { name: "pool" type: "Pooling" bottom: "x" top: "p" top: "mask" '
            "pooling_param { kernel_size: 2 stride: 2 } }\n"
            + 'layer { name: "up" type: "Upsample" bottom: "p" bottom: "mask" top: "u" '
            f"upsample_param {{ scale: 2 upsample_h: {h} upsample_w: {w} }} }}\n"
        )
        x = numbers(1, 2, h, w)
        ours = values(loaded(made(text)[0]), {"x": x})["up"]
        expected = np.zeros_like(x)
        for c in range(2):
            for i in range(0, h, 2):
                for j in range(0, w, 2):
                    block = x[0, c, i : i + 2, j : j + 2]
                    a, b = np.unravel_index(block.argmax(), block.shape)
                    expected[0, c, i + a, j + b] = block.max()
        assert np.array_equal(ours, expected)


def test_prior_boxes_become_constants(made: Made) -> None:
    """Two maps of boxes joined, against OpenCV's own PriorBox and Concat."""
    from cvi_frontend_caffe.opencv import run_network

    boxes = "".join(
        f'layer {{ name: "p{i}" type: "PriorBox" bottom: "f{i}" bottom: "x" top: "p{i}" '
        f"prior_box_param {{ {params} }} }}\n"
        for i, params in enumerate((
            "min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 3 variance: 0.1 "
            "variance: 0.1 variance: 0.2 variance: 0.2 step: 8 clip: false",
            "min_size: 20 aspect_ratio: 1 aspect_ratio: 0.5 flip: false clip: true offset: 0.25 "
            "variance: 0.3",
        ))
    )  # fmt: skip
    shapes = {"x": (1, 3, 64, 48), "f0": (1, 4, 8, 6), "f1": (1, 4, 3, 5)}
    text = (
        inputs_text(shapes)
        + boxes
        + layer_text("Concat", "concat_param { axis: 2 }", bottoms=["p0", "p1"])
        + 'layer { name: "out" type: "Eltwise" bottom: "top" bottom: "y" top: "out" }\n'
    )
    size = (8 * 6 * 6 + 3 * 5 * 2) * 4
    text = inputs_text({"y": (1, 2, size)}) + text
    zeros = {n: np.zeros(s, np.float32) for n, s in {**shapes, "y": (1, 2, size)}.items()}
    theirs = run_network(text.encode(), b"", zeros, {"layer": ["top"]})["layer"][0]
    net, _ = made(text)
    graph = loaded(net)
    close(values(graph, zeros)["out"], theirs)
    assert {op.kind for op in graph.ops} == {"Input", "Add"}


REFUSED = {
    "Python": ("is Python code", 'python_param { module: "rpn" layer: "Proposal" }'),
    "PSROIPooling": ("not supported", ""),
    "Threshold": ("not supported", ""),
    "Pooling": ("STOCHASTIC", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"),
    "BatchNorm": ("statistics of the batch", "batch_norm_param { use_global_stats: false }"),
    "Convolution": (
        "convolution_param.fusion_type",
        "convolution_param { num_output: 2 kernel_size: 1 fusion_type: SUM_FUSION }",
    ),
    "Reorg": ("in reverse", "reorg_param { stride: 2 reverse: true }"),
    "ArgMax": ("2 largest", "argmax_param { top_k: 2 }"),
    "LRN": ("lrn_param.norm_region: SOMEWHERE", "lrn_param { norm_region: SOMEWHERE }"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_represented_is_refused_by_name(kind: str, made: Made) -> None:
    why, params = REFUSED[kind]
    text = inputs_text({"x": (2, 4, 6, 6)}) + layer_text(kind, params, bottoms=["x"])
    from cvi_frontend_caffe.frontend import CaffeFrontend

    with pytest.raises(UnsupportedError) as caught:
        CaffeFrontend(0).load(made(text)[0])
    (problem,) = caught.value.problems
    assert problem.startswith(f"{kind} 'layer' (line 2): ") and why in problem
    assert "--outputs" in caught.value.fix


BROKEN = {
    "Slice": "slice_param { slice_point: 5 }",
    "Crop": "crop_param { axis: 7 }",
    "Reshape": "reshape_param { shape { dim: 0 dim: 7 } }",
    "Permute": "permute_param { order: 1 order: 1 }",
    "Pooling": "pooling_param { kernel_size: 0 }",
    "Concat": "concat_param { axis: 9 }",
    "Scale": "scale_param { axis: 3 num_axes: 2 }",
    "InnerProduct": "inner_product_param { num_output: 5 axis: 8 }",
    "Convolution": "convolution_param { num_output: 3 kernel_size: 3 group: 2 }",
    "Clip": "clip_param { min: 2 max: 1 }",
    "Interp": "interp_param { pad_beg: 3 }",
    "Tile": "tile_param { tiles: 0 }",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_contradictions_are_errors_that_name_the_layer(kind: str, made: Made) -> None:
    text = inputs_text({"x": (2, 4, 6, 6)}) + layer_text(kind, BROKEN[kind], bottoms=["x"])
    with pytest.raises(CviError) as caught:
        loaded(made(text)[0])
    assert isinstance(caught.value, ModelError)
    assert f"{kind} 'layer' (line 2)" in caught.value.where and caught.value.fix
