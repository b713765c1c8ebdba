"""Every CPU function against the vendor's runtime: equal to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from local_programs import save

from cpu_cases import INPUT, Case, fp32, model_of, settled
from cpu_random import MAKERS, MODES, normal
from cvi.errors import RunnerError
from cvi.ir.types import Array
from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.model import write
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

pytestmark = [pytest.mark.vendor, needs_vendor]

COUNT = 60
SPARSE = ("yolo_detection", "frcn_detection")
"""Functions of whose random outputs most are rows of zeros."""


def compare(
    folder: Path, cases: Sequence[Case], defined: Callable[[Case], int] | None = None
) -> list[Array]:
    """The outputs of all cases, equal on both runtimes; defined: how many elements of a
    case's output the vendor's function writes, all by default."""
    model = model_of(cases)
    ours = Runtime(model, spec=CV183X).run(INPUT, all_tensors=True)
    path = save(folder, write(model))
    theirs = VendorRunner().run(path, INPUT, all_tensors=True, timeout=60)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        case = cases[int(name.split("/")[0])] if "/" in name else None
        assert ours[name].dtype == value.dtype
        known = slice(defined(case) if defined and case else None)
        told = settled(case, value, ours[name]).reshape(-1)[known]
        np.testing.assert_array_equal(
            ours[name].reshape(-1)[known], told, err_msg=f"{name} of {case}"
        )
    return [value for name, value in theirs.items() if "/" in name]


def both_refuse(folder: Path, case: Case, message: str) -> None:
    """The vendor's runtime dies, ours tells why."""
    model = model_of([case])
    with pytest.raises(RunnerError, match="the vendor's runtime died"):
        VendorRunner().run(save(folder, write(model)), INPUT, timeout=30)
    with pytest.raises(RunnerError, match=message) as caught:
        Runtime(model, spec=CV183X).run(INPUT)
    assert caught.value.where.startswith(f"routine 0 ({case.function})")


@pytest.mark.parametrize("name", MAKERS)
def test_random_calls(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(20)
    outputs = compare(tmp_path, [MAKERS[name](rng) for _ in range(COUNT)])
    share = np.mean([np.count_nonzero(np.nan_to_num(o)) / o.size for o in outputs])
    assert share > (0.005 if name in SPARSE else 0.2)  # something was compared


# -- sizes of real networks ---------------------------------------------------------------


def yolo_416(rng: np.random.Generator, boxes: int) -> Case:
    """80 classes, `boxes` cells per map that contain something."""
    maps = []
    for size in (13, 26, 52):
        x = normal(rng, 1, 3, 85, size, size)
        x[:, :, 4] -= 9
        for _ in range(boxes):
            box, row, column = rng.integers(3), rng.integers(size), rng.integers(size)
            x[0, box, 4, row, column] = 4
            x[0, box, 5 + rng.integers(4), row, column] = 12
        maps.append(x.reshape(1, 255, size, size))
    arguments = {
        "net_input_h": 416, "net_input_w": 416, "nms_threshold": 0.3, "obj_threshold": 0.5,
        "keep_topk": 200,
    }  # fmt: skip
    return Case("yolo_detection", arguments, maps, [fp32(1, 1, 200, 6)])


def ssd_300(rng: np.random.Generator, *, levels: int | None) -> Case:
    """8,732 prior boxes, 21 classes; scores of so many levels, if given."""
    priors = 8732
    corner = rng.random((priors, 2))
    boxes = np.concatenate([corner, corner + 0.05 + 0.3 * rng.random((priors, 2))], axis=1)
    variance = np.tile([0.1, 0.1, 0.2, 0.2], (priors, 1))
    scores = np.exp(rng.normal(0, 1, (priors, 21)) + np.eye(21)[0] * 4)
    scores /= scores.sum(axis=1, keepdims=True)
    if levels:
        scores = np.round(scores * levels) / levels
    arguments = {
        "num_classes": 21, "share_location": True, "background_label_id": 0, "top_k": 400,
        "code_type": "CENTER_SIZE", "nms_threshold": 0.45, "confidence_threshold": 0.1,
        "keep_top_k": 200,
    }  # fmt: skip
    inputs = [
        normal(rng, 1, priors * 4, 1, 1, scale=0.5),
        scores.astype(np.float32).reshape(1, -1, 1, 1),
        np.stack([boxes, variance]).astype(np.float32).reshape(1, 2, priors * 4, 1),
    ]
    return Case("detectionoutput", arguments, inputs, [fp32(1, 1, 200, 7)])


def test_detectors_of_real_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    cases = [yolo_416(rng, 40), ssd_300(rng, levels=None), ssd_300(rng, levels=127)]
    yolo, plain, levels = compare(tmp_path, cases)
    assert 50 < np.count_nonzero(yolo[..., 5]) < 120
    assert np.count_nonzero(plain[..., 2] > 0) == 200
    assert len(np.unique(levels[..., 2])) < 60  # many scores are equal


def test_resizing_to_many_sizes(tmp_path: Path) -> None:
    """Sizes whose quotient is not exact: the vendor's half_pixel loses rows."""
    arguments = {
        "shrink_factor": 0, "zoom_factor": 0, "pad_beg": 0, "pad_end": 0,
        "coordinate_transformation_mode": "half_pixel",
    }  # fmt: skip
    rng = np.random.default_rng(4)
    cases = []
    for mode in MODES:
        for length, out in [(41, 1), (47, 9), (55, 7), (61, 13), (1, 9), (9, 1), (23, 95)]:
            given = arguments | {
                "height": out, "width": 5, "coordinate_transformation_mode": mode,
            }  # fmt: skip
            x = normal(rng, 1, 2, length, 4)
            cases.append(Case("interp", given, [x], [fp32(1, 2, out, 5)]))
    compare(tmp_path, cases, rows_kept)
    lost = [case for case in cases if rows_kept(case) == 0]
    assert len(lost) == 2  # 41 -> 1 in the modes half_pixel


def rows_kept(case: Case) -> int:
    """Elements that the vendor's interp writes: its modes half_pixel compute the size anew in
    fp32, which can be one less; what follows keeps what was in memory before."""
    x, arguments = case.inputs[0], case.arguments
    size = [arguments["height"], arguments["width"]]
    if arguments["coordinate_transformation_mode"] in ("half_pixel", "pytorch_half_pixel"):
        size = [
            int(np.float32(n) * (np.float32(o) / np.float32(n)))
            for n, o in zip(x.shape[2:], size, strict=True)
        ]
    return int(np.prod([*x.shape[:2], *size]))


def test_special_values_of_softmax_and_maximum(tmp_path: Path) -> None:
    """Infinity and NaN in the functions that a network may feed with them."""
    from cvi_tpu.model.arguments import Ints

    x = np.array([1, np.nan, 3, -np.inf, np.inf, 2, np.nan, 0], np.float32).reshape(1, 8, 1, 1)
    cases = [
        Case("cpu_reduce_max", {"axes": Ints((1,))}, [np.roll(x, k, 1)], [fp32(1, 1, 1, 1)])
        for k in range(8)
    ]
    compare(tmp_path, cases)


def test_topk_of_zeros_of_both_signs(tmp_path: Path) -> None:
    """Equal numbers of which the order can be seen."""
    rng = np.random.default_rng(5)
    cases = []
    for length, count in [(3, 3), (5, 3), (17, 16), (40, 7)] * 5:
        x = rng.choice(np.array([0.0, -0.0, 0.0, -0.0, 1, -1], np.float32), (1, 1, 1, length))
        for largest in (True, False):
            arguments = {"K": count, "axis": 3, "sorted": True, "largest": largest}
            cases.append(Case("topk", arguments, [x], [fp32(1, count, 1, 1)]))
    theirs = compare(tmp_path, cases)
    ours = Runtime(model_of(cases), spec=CV183X).run(INPUT, all_tensors=True)
    bits = [value.tobytes() for name, value in ours.items() if "/" in name]
    assert [value.tobytes() for value in theirs] == bits


# -- where the vendor's runtime dies ------------------------------------------------------


def test_too_many_boxes(tmp_path: Path) -> None:
    both_refuse(tmp_path, yolo_416(np.random.default_rng(5), 150), "aborts at more than 200")


def test_no_proposal(tmp_path: Path) -> None:
    case = MAKERS["proposal"](np.random.default_rng(6))
    nothing = Case(
        case.function, dict(case.arguments) | {"rpn_obj_threshold": 2.0}, case.inputs, case.outputs
    )
    both_refuse(tmp_path, nothing, "no box is above rpn_obj_threshold")


def test_a_flat_prior_box(tmp_path: Path) -> None:
    case = ssd_300(np.random.default_rng(7), levels=None)
    prior = case.inputs[2].copy()
    prior.reshape(2, -1, 4)[0, :, 2] = prior.reshape(2, -1, 4)[0, :, 0]
    flat = Case(case.function, case.arguments, [*case.inputs[:2], prior], case.outputs)
    both_refuse(tmp_path, flat, "a prior box has no width")


def test_a_region_of_no_image(tmp_path: Path) -> None:
    regions = np.array([[7, 0, 0, 9, 9]], np.float32).reshape(1, 1, 1, 5)
    arguments = {"pooled_h": 1, "pooled_w": 1, "spatial_scale": 1.0}
    inputs = [np.ones((1, 3, 4, 4), np.float32), regions]
    case = Case("roi_pooling", arguments, inputs, [fp32(1, 3, 1, 1)])
    both_refuse(tmp_path, case, "of none of the 1 images")
