"""Detection layers in INT8: the same boxes as the float layer's, or refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chips import CHIPS, each_chip
from cvi.execute import evaluate
from cvi.ir import Array, Graph, Input, Op, TensorType
from cvi.ops import (
    Conv2d,
    DetectionOutput,
    FrcnDetection,
    Proposal,
    Relu,
    RetinaFaceDetection,
    RoiPooling,
    YoloDetection,
)
from cvi.plugins import chip
from cvi.precision import PrecisionPlan
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import CpuFunction
from cvi_tpu.quantized.rules.signs import never_negative
from cvi_tpu.quantized.scheme import Int8Scheme
from detection_nets import MAKERS, Nets, random_nets


def quantised(nets: Nets, name: str = "cv183x") -> Graph:
    return Int8Scheme().quantize(
        nets.graph, nets.table, PrecisionPlan(), chip(name), inputs_type="int8"
    )


def without_suppression(nets: Nets) -> Nets:
    """Every box above the threshold is kept: then the order in which boxes suppress each
    other does not matter."""
    ops = []
    for op in nets.graph:
        if hasattr(op, "nms_threshold"):
            keep = "post_nms_top_n" if isinstance(op, Proposal) else "keep_top_k"
            op = op.with_(**{"nms_threshold": 1.0, keep: 4000})
        ops.append(op)
    return replace(nets, graph=nets.graph.rebuilt(ops))


def same_rows(got: Array, want: Array, tolerance: float) -> None:
    """As many rows that are not empty, and each has its equal."""
    got, want = (x.reshape(-1, x.shape[-1]) for x in (got, want))
    got, want = (x[(x != 0).any(axis=1) & (x != -1).all(axis=1)] for x in (got, want))
    assert len(got) == len(want)
    for row in want:
        assert np.abs(got - row).max(axis=1).min() <= tolerance


@pytest.mark.parametrize("layer", MAKERS)
def test_the_functions_find_the_same_boxes(layer: str) -> None:
    """On the very numbers that the int8 inputs stand for. Proposals are in pixels, and the
    runtime's lie half a pixel nearer to the first one."""
    nets = without_suppression(random_nets(layer, seed=3, count=8))
    got = evaluate(quantised(nets), nets.feeds)
    want = evaluate(nets.graph, nets.real_feeds)
    assert sum(np.count_nonzero(x > 0) > 0 for x in want.values()) > 3
    for name in nets.graph.outputs:
        if layer == "RoiPooling":
            np.testing.assert_array_equal(got[name], want[name])
        else:
            same_rows(got[name], want[name], 0.51 if layer == "Proposal" else 2e-3)


def alone(op: Op, feeds: dict[str, Array], threshold: float = 1.0, **constants: Array) -> Nets:
    """A network of one layer."""
    nets = Nets(np.random.default_rng(0))
    for name, values in feeds.items():
        nets.input(name, values, threshold)
    nets.graph.constants.update(constants)
    nets.end(op)
    return nets


def test_no_proposal_at_all() -> None:
    """The runtime's own function would crash."""
    op = Proposal(
        name="y", inputs=("s", "d"), net_size=(32, 32), obj_threshold=0.5, nms_threshold=0.7,
        post_nms_top_n=5,
    )  # fmt: skip
    nets = alone(op, {"s": np.zeros((1, 18, 2, 2)), "d": np.zeros((1, 36, 2, 2))})
    (got,) = evaluate(quantised(nets), nets.feeds).values()
    assert not got.any()


def test_more_objects_than_regions() -> None:
    """The runtime's own function would overrun its memory."""
    op = FrcnDetection(
        name="y", inputs=("d", "s", "r"), class_num=4, obj_threshold=0.2, nms_threshold=0.3,
        keep_top_k=10,
    )  # fmt: skip
    feeds = {
        "d": np.zeros((2, 16)), "s": np.full((2, 4), 0.9),
        "r": np.array([[0, 0, 0, 0.2, 0.2], [0, 0.5, 0.5, 0.9, 0.9]]).reshape(1, 1, 2, 5),
    }  # fmt: skip
    nets = alone(op, feeds)
    (got,) = evaluate(quantised(nets), nets.feeds).values()
    assert np.count_nonzero(got[..., 5]) == 6
    (call,) = (o for o in quantised(nets) if isinstance(o, CpuFunction))
    assert quantised(nets).type_of(call.inputs[2]).shape == (1, 1, 6, 5)


@pytest.mark.parametrize(
    ("threshold", "softmax", "regions"), [(0.5, True, 8), (0.3, True, 24), (0.5, False, 32)]
)
def test_regions_are_added_as_needed(threshold: float, softmax: bool, regions: int) -> None:
    from cvi.ops import Reshape, Softmax

    nets = Nets(np.random.default_rng(0))
    scores = nets.input("s", np.zeros((8, 5)), 1)
    if softmax:
        scores = nets.add(Softmax(name="p", inputs=(scores,), axis=1))
        scores = nets.add(Reshape(name="q", inputs=(scores,), shape=(8, 5, 1, 1)))
    others = nets.input("d", np.zeros((8, 20)), 1), nets.input("r", np.zeros((1, 1, 8, 5)), 1)
    op = FrcnDetection(
        name="y", inputs=(others[0], scores, others[1]), class_num=5, obj_threshold=threshold,
        nms_threshold=0.3, keep_top_k=10,
    )  # fmt: skip
    nets.end(op)
    graph = quantised(nets)
    call = graph["y"]
    assert isinstance(call, CpuFunction)
    assert graph.type_of(call.inputs[2]).shape == (1, 1, regions, 5)


def test_logits_far_below_zero_do_not_soften_the_others() -> None:
    """Below -100 the runtime's softmax would divide all differences."""
    x = np.zeros((1, 3, 7, 1, 1))
    x[0, 0, 4] = 300  # an object
    x[0, :, 5:] = np.array([2, -300])[:, None, None]  # of the first class, surely
    other = np.full((1, 21, 2, 2), -300.0)
    op = YoloDetection(
        name="y", inputs=("a", "b"), net_size=(32, 32), classes=2, tiny=True, nms_threshold=0.5,
        obj_threshold=0.4, keep_top_k=3,
    )  # fmt: skip
    nets = alone(op, {"a": x.reshape(1, 21, 1, 1), "b": other}, threshold=300.0)
    (got,) = evaluate(quantised(nets), nets.feeds).values()
    assert got[0, 0, 0, 5] == 1.0
    kinds = [o.kind for o in quantised(nets)]
    assert kinds.count("Int8Clip") == 2
    mild = alone(op, {"a": x.reshape(1, 21, 1, 1), "b": other}, threshold=99.0)
    assert "Int8Clip" not in [o.kind for o in quantised(mild)]


# -- what is refused ----------------------------------------------------------------------


def problems(op: Op, spec: ChipSpec = CHIPS[0], **inputs: tuple[int, ...] | Array) -> list[str]:
    graph = Graph("g")
    for name, given in inputs.items():
        if isinstance(given, tuple):
            graph.add(Input(name=name, type=TensorType(given)))
        else:
            graph.constants[name] = given
    graph.add(op.with_(inputs=tuple(inputs)))
    graph.outputs = (op.name,)
    return Int8Scheme().problems(graph, chip(spec.name))


def priors(*boxes: Sequence[float]) -> Array:
    spread = np.full(len(boxes) * 4, 0.1)
    return np.stack([np.array(boxes).ravel(), spread]).astype(np.float32)[None]


def ssd(**fields: Any) -> DetectionOutput:
    fields = {"num_classes": 2, "nms_threshold": 0.5, "keep_top_k": 5} | fields
    return DetectionOutput(name="y", **fields)


SQUARE = priors((0, 0, 1, 1))
YOLO = YoloDetection(
    name="y", net_size=(32, 32), classes=1, tiny=True, nms_threshold=0.5, obj_threshold=0.5,
    keep_top_k=3,
)  # fmt: skip
FACES = RetinaFaceDetection(name="y", nms_threshold=0.4, confidence_threshold=0.5, keep_top_k=3)
RPN = Proposal(name="y", net_size=(32, 32), obj_threshold=0.5, nms_threshold=0.7, post_nms_top_n=5)
FRCN = FrcnDetection(name="y", class_num=3, obj_threshold=-0.5, nms_threshold=0.3, keep_top_k=3)
POOL = RoiPooling(name="y", pooled=(2, 2), spatial_scale=0.5)
FACE_MAPS = {
    f"m{i}": (1, channels, 2**s, 2**s)
    for i, (s, channels) in enumerate((s, c) for s in range(3) for c in (4, 8, 20))
}


@pytest.mark.parametrize(
    ("op", "inputs", "why"),
    [
        (ssd(code_type="corner"), {"l": (1, 4), "c": (1, 2), "p": SQUARE}, "no code type but"),
        (ssd(code_type="corner_size"), {"l": (1, 4), "c": (1, 2), "p": SQUARE}, "no code type"),
        (ssd(), {"l": (1, 4), "c": (1, 2), "p": (1, 2, 4)}, "prior boxes are computed"),
        (ssd(), {"l": (1, 4), "c": (1, 2), "p": priors((0, 0, 0, 1))}, "have no width"),
        (YOLO, {"a": (1, 18, 2, 2), "b": (1, 18, 4, 2)}, "and two are equal"),
        (FACES, FACE_MAPS, "compares the wrong faces"),
        (RPN, {"s": (2, 18, 2, 2), "d": (2, 36, 2, 2)}, "--batch-size 1"),
        (FRCN, {"d": (4, 12), "s": (4, 3), "r": (1, 1, 4, 5)}, "obj_threshold lets all"),
        (POOL, {"x": (1, 3, 4, 4), "r": (2, 5)}, "negative features never win"),
        (POOL, {"x": np.ones((2, 3, 4, 4), np.float32), "r": (3, 5)}, "as many regions of every"),
        (POOL, {"x": np.ones((2, 1, 4, 4), np.float32), "r": (4, 5)}, "as many regions of every"),
    ],
)
def test_refused(op: Op, inputs: dict[str, Any], why: str) -> None:
    (problem,) = problems(op, **inputs)
    assert problem.startswith(f"y ({op.kind}): ") and why in problem and "; " in problem


def test_accepted() -> None:
    assert not problems(ssd(), l=(1, 4), c=(1, 2), p=SQUARE)
    assert not problems(FACES.with_(nms_threshold=1.0), **FACE_MAPS)
    assert not problems(POOL, x=np.ones((2, 3, 4, 4), np.float32), r=(4, 5))
    assert not problems(YOLO, a=(1, 18, 2, 2), b=(1, 18, 4, 4))


@each_chip
def test_chips_without_cpu_functions_refuse_all(spec: ChipSpec) -> None:
    for op, inputs in (
        (ssd(), {"l": (1, 4), "c": (1, 2), "p": SQUARE}),
        (YOLO, {"a": (1, 18, 2, 2), "b": (1, 18, 4, 4)}),
        (FACES.with_(nms_threshold=1.0), FACE_MAPS),
        (RPN, {"s": (1, 18, 2, 2), "d": (1, 36, 2, 2)}),
        (FRCN.with_(obj_threshold=0.5), {"d": (4, 12), "s": (4, 3), "r": (1, 1, 4, 5)}),
        (POOL, {"x": np.ones((1, 3, 4, 4), np.float32), "r": (4, 5)}),
    ):
        found = problems(op, spec, **inputs)  # type: ignore[arg-type]
        assert len(found) == (0 if spec.has_cpu_functions else 1)
        assert all("no CPU functions" in problem for problem in found)


def test_signs() -> None:
    from cvi.ops import Add, Concat, MaxPool2d, Pad, Sigmoid

    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((1, 2, 4, 4))))
    graph.constants["w"] = np.ones((2, 2, 1, 1), np.float32)
    graph.constants["k"] = np.full((1, 2, 4, 4), -1, np.float32)
    graph.add(Conv2d(name="conv", inputs=("x", "w"), relu=True))
    graph.add(MaxPool2d(name="pool", inputs=("conv",), kernel=(2, 2)))
    graph.add(Relu(name="relu", inputs=("x",)))
    graph.add(Concat(name="both", inputs=("relu", "conv"), axis=1))
    graph.add(Concat(name="mixed", inputs=("relu", "x"), axis=1))
    pads = {"before": (0, 0, 1, 0), "after": (0, 0, 0, 0)}
    graph.add(Pad(name="low", inputs=("relu",), value=-1.0, **pads))
    graph.add(Pad(name="zero", inputs=("relu",), **pads))
    graph.add(Sigmoid(name="s", inputs=("x",)))
    graph.add(Sigmoid(name="moved", inputs=("x",), bias=-0.5))
    graph.add(Add(name="sum", inputs=("relu", "conv")))
    known = {"conv", "pool", "relu", "both", "zero", "s", "w"}
    assert {
        n for n in [*graph.constants, *(o.name for o in graph)] if never_negative(graph, n)
    } == known
