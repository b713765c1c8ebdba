"""Detection layers against OpenCV's inference of the Caffe layers."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from cvi.ir import Array
from cvi.ops import DetectionOutput, Proposal, RoiPooling, prior_boxes


def run(layer: str, feeds: dict[str, Array]) -> Array:
    """The result "y" of a net of one layer, whose operands are network inputs."""
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {d}" for d in array.shape)
        + " } } }\n"
        for name, array in feeds.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in feeds)
    text += f'layer {{ name: "y" {bottoms} top: "y" {layer} }}'
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
    for name, array in feeds.items():
        net.setInput(array, name)
    result: Array = net.forward("y")
    return result


def repeated(key: str, values: Sequence[float]) -> str:
    return " ".join(f"{key}: {v}" for v in values)


@pytest.mark.parametrize(
    ("min_sizes", "max_sizes", "ratios", "clip", "step", "offset"),
    [
        ([5.5], [9.7], [2, 3], False, 0, 0.5),
        ([30], [60], [2], True, 8, 0.5),
        ([4.2, 7.9], [], [1.0, 2.5], False, 0, 0.25),
        ([4, 8], [8, 11], [], False, 6, 0.5),
        ([60.0], [], [], True, 0, 0.5),
    ],
)
def test_prior_boxes(
    min_sizes: list[float], max_sizes: list[float], ratios: list[float], clip: bool, step: float,
    offset: float,
) -> None:  # fmt: skip
    variances = (0.1, 0.1, 0.2, 0.2)
    params = [
        repeated("min_size", min_sizes), repeated("max_size", max_sizes),
        repeated("aspect_ratio", ratios), repeated("variance", variances),
        f"flip: true clip: {str(clip).lower()} offset: {offset}", f"step: {step}" if step else "",
    ]  # fmt: skip
    feeds = {"f": np.zeros((1, 8, 5, 7), np.float32), "data": np.zeros((1, 3, 30, 40), np.float32)}
    want = run(f'type: "PriorBox" prior_box_param {{ {" ".join(params)} }}', feeds)
    got = prior_boxes(
        feature=(5, 7), image=(30, 40), min_sizes=min_sizes, max_sizes=max_sizes,
        aspect_ratios=[r for ratio in ratios for r in (ratio, 1 / ratio)], variances=variances,
        step=(step or 6, step or 40 / 7), offset=offset, clip=clip,
    )  # fmt: skip
    assert got.dtype == np.float32 and got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=3e-7)


def ssd(rng: np.random.Generator, priors: int, classes: int, labels: int) -> dict[str, Array]:
    corner = rng.random((priors, 2)) * 0.4
    boxes = np.concatenate([corner, corner + 0.2 + 0.3 * rng.random((priors, 2))], axis=1)
    spread = np.tile([0.1, 0.1, 0.2, 0.2], priors)
    return {
        "loc": rng.normal(size=(2, priors * 4 * labels)).astype(np.float32),
        "conf": rng.random((2, priors * classes)).astype(np.float32),
        "prior": np.stack([boxes.ravel(), spread]).astype(np.float32)[None],
    }


@pytest.mark.parametrize("keep_top_k", [7, 60])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("code", ["CENTER_SIZE", "CORNER"])
@pytest.mark.parametrize(("background", "top_k", "threshold"), [(0, 20, 0.3), (2, 8, 0.5)])
def test_detection_output(
    code: str, share: bool, background: int, top_k: int, threshold: float, keep_top_k: int
) -> None:
    """OpenCV orders the rows of an image otherwise, and fills the rest with 0."""
    classes = 4
    feeds = ssd(np.random.default_rng(1), 40, classes, 1 if share else classes)
    layer = (
        f'type: "DetectionOutput" detection_output_param {{ num_classes: {classes}'
        f" share_location: {str(share).lower()} background_label_id: {background} nms_param {{"
        f" nms_threshold: 0.45 top_k: {top_k} }} code_type: {code} keep_top_k: {keep_top_k}"
        f" confidence_threshold: {threshold} }}"
    )
    want = run(layer, feeds).reshape(-1, 7)
    want = want[want[:, 2] > 0]
    want = want[np.lexsort((-want[:, 2], want[:, 1], want[:, 0]))]
    op = DetectionOutput(
        name="y", num_classes=classes, share_location=share, background_label=background,
        code_type=code.lower(), nms_threshold=0.45, top_k=top_k, keep_top_k=keep_top_k,
        confidence_threshold=threshold,
    )  # fmt: skip
    got = op.evaluate(*feeds.values())
    assert got.shape == (2, 1, keep_top_k, 7)
    rows = got.reshape(-1, 7)
    assert len(want) == 14 if keep_top_k == 7 else 14 < len(want) < 2 * 3 * top_k
    np.testing.assert_allclose(rows[: len(want)], want, rtol=1e-5, atol=1e-6)
    assert (rows[len(want) :] == -1).all()


@pytest.mark.parametrize(
    ("stride", "base", "overlap", "count"), [(16, 16, 0.7, 20), (8, 12, 0.3, 300)]
)
def test_proposal(stride: int, base: int, overlap: float, count: int) -> None:
    rng = np.random.default_rng(2)
    height, width = 6, 8
    net = stride * height, stride * width
    scores = rng.random((1, 18, height, width)).astype(np.float32)
    deltas = rng.normal(0, 0.3, (1, 36, height, width)).astype(np.float32)
    layer = (
        f'type: "Proposal" proposal_param {{ feat_stride: {stride} base_size: {base} ratio: 0.5'
        " ratio: 1 ratio: 2 scale: 8 scale: 16 scale: 32 pre_nms_topn: 6000"
        f" post_nms_topn: {count} nms_thresh: {overlap} }}"
    )
    info = np.array([[*net, 1]], np.float32)
    want = run(layer, {"s": scores, "d": deltas, "i": info})
    op = Proposal(
        name="y", feat_stride=stride, anchor_base_size=base, net_size=net, obj_threshold=0.02,
        nms_threshold=overlap, post_nms_top_n=count,
    )  # fmt: skip
    got = op.evaluate(scores, deltas).reshape(-1, 5)
    assert 10 < len(want) <= count
    np.testing.assert_allclose(got[: len(want)], want, rtol=1e-5, atol=1e-3)
    assert not got[len(want) :].any()


@pytest.mark.parametrize("pooled", [(4, 3), (1, 1), (7, 7)])
def test_roi_pooling(pooled: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 4, 9, 11)).astype(np.float32)
    corner = rng.uniform(-20, 100, (30, 2))
    regions = np.concatenate(
        [rng.integers(0, 2, (30, 1)), corner, corner + rng.uniform(-10, 100, (30, 2))], axis=1
    ).astype(np.float32)
    params = f"pooled_h: {pooled[0]} pooled_w: {pooled[1]} spatial_scale: 0.0625"
    want = run(f'type: "ROIPooling" roi_pooling_param {{ {params} }}', {"x": x, "r": regions})
    got = RoiPooling(name="y", pooled=pooled, spatial_scale=0.0625).evaluate(x, regions)
    np.testing.assert_array_equal(got, want)
