"""Every layer type that OpenCV has, with its parameters, against OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from caffe_nets import Made, close, inputs_text, layer_text, loaded, numbers, values

from cvi.ir import Array
from cvi_frontend_caffe.opencv import run_network


@dataclass(frozen=True)
class Case:
    """A layer: its parameters, the shapes of its bottoms and of its blobs.

    positive: the inputs are at least this.
    """

    kind: str
    params: str = ""
    shapes: Sequence[Sequence[int]] = ((2, 4, 7, 9),)
    blobs: Sequence[Array] = field(default_factory=tuple)
    tops: int = 1
    positive: float | None = None
    tolerance: float = 1e-5


def conv(params: str, *blobs: Array, shape: Sequence[int] = (2, 4, 7, 9)) -> Case:
    return Case("Convolution", f"convolution_param {{ {params} }}", (shape,), blobs)


def pool(params: str, shape: Sequence[int] = (1, 3, 7, 9)) -> Case:
    return Case("Pooling", f"pooling_param {{ {params} }}", (shape,))


def eltwise(params: str, count: int = 2) -> Case:
    return Case("Eltwise", f"eltwise_param {{ {params} }}", ((2, 3, 4, 5),) * count)


def power(params: str, **options: float) -> Case:
    return Case("Power", f"power_param {{ {params} }}", positive=options.get("positive"))


C = (4,)
MEAN, VAR = numbers(4, seed=1), numbers(4, seed=2, low=0.1)
CASES = {
    "conv": conv("num_output: 6 kernel_size: 3", numbers(6, 4, 3, 3), numbers(6)),
    "conv_without_bias": conv("num_output: 6 kernel_size: 1 bias_term: false", numbers(6, 4, 1, 1)),
    "conv_kernel_list_is_h_w": conv(
        "num_output: 2 kernel_size: 3 kernel_size: 1 stride: 2 stride: 1 pad: 1 pad: 0",
        numbers(2, 4, 3, 1), numbers(2),
    ),
    "conv_h_w": conv(
        "num_output: 2 kernel_h: 1 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1",
        numbers(2, 4, 1, 3), numbers(2),
    ),
    "conv_groups": conv("num_output: 6 kernel_size: 3 group: 2", numbers(6, 2, 3, 3), numbers(6)),
    "conv_dilation": conv(
        "num_output: 3 kernel_size: 3 dilation: 2 pad: 2", numbers(3, 4, 3, 3), numbers(3)
    ),
    "conv_sides": conv(
        "num_output: 3 kernel_h: 3 kernel_w: 3 stride_h: 1 stride_w: 1 "
        "group: 1 dilation: 1 bias_term: true "
        "pad_t: 0 pad_l: 1 pad_b: 2 pad_r: 0",
        numbers(3, 4, 3, 3), numbers(3),
    ),
    "deconv": Case(
        "Deconvolution", "convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 }",
        blobs=(numbers(4, 3, 4, 4), numbers(3)),
    ),
    "deconv_groups": Case(
        "Deconvolution",
        "convolution_param { num_output: 4 kernel_size: 3 stride: 2 group: 4 bias_term: false }",
        blobs=(numbers(4, 1, 3, 3),),
    ),
    "deconv_two_groups": Case(
        "Deconvolution", "convolution_param { num_output: 6 kernel_size: 3 stride: 2 group: 2 }",
        blobs=(numbers(4, 3, 3, 3), numbers(6)),
    ),
    "inner_product": Case(
        "InnerProduct", "inner_product_param { num_output: 5 }",
        blobs=(numbers(5, 252), numbers(5)),
    ),
    "inner_product_axis": Case(
        "InnerProduct", "inner_product_param { num_output: 5 axis: 2 bias_term: false }",
        blobs=(numbers(5, 63),),
    ),
    "inner_product_last": Case(
        "InnerProduct", "inner_product_param { num_output: 5 axis: -1 }",
        blobs=(numbers(5, 9), numbers(5)),
    ),
    "max_rounds_up": pool("pool: MAX kernel_size: 2 stride: 2"),
    "max_rounds_up_padded": pool("pool: MAX kernel_size: 3 stride: 2 pad: 1", (1, 3, 8, 10)),
    "max_clips_the_last_window": pool("pool: MAX kernel_size: 2 stride: 2 pad: 1", (1, 3, 7, 8)),
    "max_floor": pool("pool: MAX kernel_size: 2 stride: 2 ceil_mode: false"),
    "max_h_w": pool("pool: MAX kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0"),
    "mean": pool("pool: AVE kernel_size: 2 stride: 2", (1, 3, 8, 8)),
    "mean_counts_padding": pool("pool: AVE kernel_size: 3 stride: 1 pad: 1"),
    "mean_rounds_up_padded": pool("pool: AVE kernel_size: 3 stride: 2 pad: 1", (1, 3, 8, 10)),
    "mean_global": pool("pool: AVE global_pooling: true"),
    "max_global": pool("pool: MAX global_pooling: true"),
    "batch_norm": Case(
        "BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.001 }",
        blobs=(MEAN, VAR, np.array([2.5], np.float32)),
    ),
    "batch_norm_factor_0": Case(
        "BatchNorm", "batch_norm_param { eps: 1 }", blobs=(MEAN, VAR, np.zeros(1, np.float32)),
    ),
    "scale": Case("Scale", "scale_param { bias_term: true }", blobs=(numbers(4), numbers(4))),
    "scale_without_bias": Case("Scale", blobs=(numbers(4),)),
    "scale_last_axes": Case(
        "Scale", "scale_param { axis: 2 num_axes: 2 bias_term: true }",
        blobs=(numbers(7, 9), numbers(7, 9)),
    ),
    "scale_by_blob": Case("Scale", "scale_param { axis: 0 }", ((2, 4, 7, 9), (2, 4))),
    "relu": Case("ReLU"),
    "leaky": Case("ReLU", "relu_param { negative_slope: 0.1 }"),
    "relu6": Case("ReLU6"),
    "prelu": Case("PReLU", blobs=(numbers(4, low=0.1),)),
    "prelu_shared": Case(
        "PReLU", "prelu_param { channel_shared: true }", blobs=(np.full(1, 0.3, np.float32),)
    ),
    "elu": Case("ELU"),
    "sigmoid": Case("Sigmoid"),
    "tanh": Case("TanH"),
    "absval": Case("AbsVal"),
    "bnll": Case("BNLL"),
    "swish": Case("Swish"),
    "mish": Case("Mish"),
    "power_linear": power("scale: 0.5 shift: -2"),
    "power_square": power("power: 2"),
    "power_all": power("power: 0.5 scale: 2 shift: 1", positive=0.1),
    "power_inverse": power("power: -1 scale: 3 shift: 0.5", positive=0.1),
    "exp": Case("Exp", "exp_param { scale: 0.5 shift: 0.25 }"),
    "exp_base": Case("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    "softmax": Case("Softmax"),
    "softmax_axis": Case("Softmax", "softmax_param { axis: 3 }"),
    "lrn": Case("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 }"),
    "lrn_default": Case("LRN", "lrn_param { alpha: 1 }", shapes=((1, 9, 3, 3),)),
    "lrn_within": Case("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 1 }"),
    "normalize": Case(
        "Normalize", "norm_param { across_spatial: false channel_shared: false }",
        blobs=(numbers(4, low=0.5),),
    ),
    "normalize_image": Case("Normalize", "", ((1, 4, 7, 9),), (np.full(1, 3, np.float32),)),
    "mvn": Case("MVN"),
    "mvn_together": Case("MVN", "mvn_param { across_channels: true }"),
    "mvn_mean_only": Case("MVN", "mvn_param { normalize_variance: false }"),
    "sum": eltwise("operation: SUM", 3),
    "sum_weighted": eltwise("operation: SUM coeff: 0.5 coeff: -2"),
    "difference": eltwise("operation: SUM coeff: 1 coeff: -1"),
    "product": eltwise("operation: PROD", 3),
    "maximum": eltwise("operation: MAX"),
    "concat": Case("Concat", shapes=((2, 3, 4, 5), (2, 6, 4, 5))),
    "concat_axis": Case("Concat", "concat_param { axis: 3 }", ((2, 3, 4, 5), (2, 3, 4, 2))),
    "concat_dim": Case("Concat", "concat_param { concat_dim: 1 }", ((2, 3, 4, 5), (2, 6, 4, 5))),
    "slice_points": Case("Slice", "slice_param { slice_point: 1 slice_point: 3 }", tops=3),
    "slice_rows": Case("Slice", "slice_param { axis: 2 slice_point: 3 }", tops=2),
    "crop": Case(
        "Crop", "crop_param { axis: 2 offset: 1 offset: 2 }", ((1, 3, 8, 9), (1, 3, 4, 5))
    ),
    "crop_channels": Case("Crop", "crop_param { axis: 1 offset: 1 }", ((1, 5, 8, 9), (1, 3, 4, 5))),
    "flatten": Case("Flatten"),
    "flatten_axes": Case("Flatten", "flatten_param { axis: 1 end_axis: 2 }"),
    "reshape": Case("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 9 } }"),
    "reshape_part": Case(
        "Reshape", "reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 2 }"
    ),
    "permute": Case("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "shuffle": Case("ShuffleChannel", "shuffle_channel_param { group: 2 }"),
    "reorg": Case("Reorg", "reorg_param { stride: 2 }", ((1, 8, 4, 6),)),
    "interp_size": Case("Interp", "interp_param { height: 13 width: 5 }"),
    "roi_pooling": Case(
        "ROIPooling", "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }",
        ((1, 4, 7, 9), (3, 5)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layer_agrees_with_opencv(name: str, made: Made) -> None:
    case = CASES[name]
    shapes = {f"x{i}": shape for i, shape in enumerate(case.shapes)}
    text = inputs_text(shapes) + layer_text(
        case.kind, case.params, bottoms=list(shapes), tops=case.tops
    )
    net, weights = made(text, {"layer": case.blobs} if case.blobs else None)
    inputs = {
        name: numbers(*shape, seed=i, low=case.positive)
        for i, (name, shape) in enumerate(shapes.items())
    }
    if case.kind == "ROIPooling":
        inputs["x1"] = np.array([[0, 0, 0, 17, 13], [0, 4, 2, 9, 8], [0, 6, 6, 16, 12]], np.float32)
    tops = [f"top{i}" for i in range(case.tops)] if case.tops > 1 else ["top"]
    theirs = run_network(net.read_bytes(), weights.read_bytes(), inputs, {"layer": tops})["layer"]
    graph = loaded(net, weights)
    for simplified in (False, True):
        ours = values(graph, inputs, simplified=simplified)
        for i in range(case.tops):
            name = "layer" if case.tops == 1 else f"layer_{i}"
            if not simplified or name in ours:
                close(ours[name], theirs[i], case.tolerance)


def test_every_case_gives_the_shape_that_caffe_documents(made: Made) -> None:
    """The rule of rounding up and clipping, written out once more."""
    for size in range(3, 12):
        for kernel, stride, pad in ((2, 2, 0), (2, 2, 1), (3, 2, 0), (3, 2, 1), (3, 3, 1)):
            params = f"pool: MAX kernel_size: {kernel} stride: {stride} pad: {pad}"
            case = pool(params, (1, 1, size, size))
            text = inputs_text({"x": (1, 1, size, size)})
            net, _ = made(text + layer_text("Pooling", case.params, bottoms=["x"]))
            count = -((size + 2 * pad - kernel) // -stride) + 1
            if pad and (count - 1) * stride >= size + pad:
                count -= 1
            assert loaded(net)["layer"].type.shape == (1, 1, count, count)
