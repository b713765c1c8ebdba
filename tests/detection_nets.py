"""Random networks that end in a detection layer, by the layer's name.

A maker adds one network to a graph; its inputs are int8 after quantisation, in steps of
T / 127 of the threshold that it notes, and `Nets.feeds` draws their integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.ir import Array, Graph, Input, Op, TensorType
from cvi.ops import (
    DetectionOutput,
    FrcnDetection,
    Proposal,
    Relu,
    Reshape,
    RetinaFaceDetection,
    RoiPooling,
    Softmax,
    YoloDetection,
)

Rng = np.random.Generator


@dataclass
class Nets:
    """A float graph of several networks; thresholds and int8 inputs by name."""

    rng: Rng
    graph: Graph = field(default_factory=lambda: Graph("nets"))
    thresholds: dict[str, float] = field(default_factory=dict)
    feeds: dict[str, Array] = field(default_factory=dict)

    def input(self, name: str, values: Array, threshold: float) -> str:
        """A network input that is fed with these real numbers, rounded to steps."""
        free = self.graph.fresh(name)
        self.graph.add(Input(name=free, type=TensorType(values.shape)))
        self.thresholds[free] = threshold
        steps = np.rint(values * (127 / threshold))
        self.feeds[free] = np.clip(steps, -128, 127).astype(np.int8)
        return free

    def add(self, op: Op, threshold: float = 1.0) -> str:
        name = self.graph.fresh(op.name)
        self.graph.add(op.with_(name=name))
        self.thresholds[name] = threshold
        return name

    def end(self, op: Op) -> None:
        self.graph.outputs += (self.add(op),)

    @property
    def table(self) -> CalibrationTable:
        return CalibrationTable({k: Threshold(v, -v, v) for k, v in self.thresholds.items()})

    @property
    def real_feeds(self) -> dict[str, Array]:
        """What the int8 inputs stand for."""
        return {name: x * np.float32(self.thresholds[name] / 127) for name, x in self.feeds.items()}


Maker = Callable[[Nets], None]


def _chance(rng: Rng, p: float = 0.5) -> bool:
    return bool(rng.random() < p)


def _pick(rng: Rng, *values: float) -> float:
    return float(rng.choice(values))


NAMES = (
    ("loc", "conf", "priors"),
    ("mbox_loc", "mbox_conf", "mbox_priorbox"),
    ("a_mbox_conf", "mbox_loc_softmax", "mbox_loc_mbox_conf_mbox_priorbox"),
    ("mbox_priorbox", "mbox_loc", "mbox_conf"),
)
"""Of the operands of DetectionOutput: some that the runtime would exchange."""


def detection_output(nets: Nets) -> None:
    rng = nets.rng
    images, classes = (int(v) for v in rng.integers(1, [3, 6]))
    priors, shared = int(rng.choice([1, 7, 60, 200])), _chance(rng)
    labels = 1 if shared else classes
    names = NAMES[rng.integers(len(NAMES))]
    deltas = rng.normal(0, 1, (images, priors * labels * 4))
    loc = nets.input(names[0], deltas, _pick(rng, 2, 4))
    logits = nets.input("logits", rng.normal(0, 2, (images, priors, classes)), 8)
    chances = nets.add(Softmax(name="chances", inputs=(logits,), axis=2))
    flat = Reshape(name=names[1], inputs=(chances,), shape=(images, priors * classes))
    corner = rng.random((priors, 2))
    boxes = np.concatenate([corner, corner + 0.05 + 0.3 * rng.random((priors, 2))], axis=1)
    spread = np.tile([0.1, 0.1, 0.2, 0.2], priors)
    table = np.stack([boxes.ravel(), spread]).astype(np.float32)[None]
    conf, constant = nets.add(flat), nets.graph.constant(names[2], table)
    nets.end(
        DetectionOutput(
            name="detection_out", inputs=(loc, conf, constant), num_classes=classes,
            share_location=shared, background_label=int(rng.choice([0, 0, -1, 2])),
            nms_threshold=_pick(rng, 0.1, 0.45, 0.9), top_k=int(rng.choice([-1, 3, 40, 400])),
            keep_top_k=int(rng.choice([1, 7, 50, 200])),
            confidence_threshold=_pick(rng, 0.01, 0.3, 0.6, 0.99),
        )
    )  # fmt: skip


def yolo_detection(nets: Nets) -> None:
    rng = nets.rng
    tiny, classes = _chance(rng), int(rng.choice([1, 3, 8, 90]))
    images, count = int(rng.integers(1, 3)), 2 if tiny else 3
    threshold = _pick(rng, 8, 30, 150, 400)
    maps = []
    for i in rng.permutation(count):
        size = 2 << int(i)
        x = rng.normal(0, 1, (images, 3, 5 + classes, size, size + 1))
        x[:, :, 4] -= 2  # few boxes
        x[:, :, 5:] *= threshold / 3
        maps.append(nets.input("map", x.reshape(images, -1, size, size + 1), threshold))
    anchors = tuple(float(v) for v in rng.uniform(5, 90, count * 6)) if _chance(rng) else ()
    nets.end(
        YoloDetection(
            name="yolo", inputs=tuple(maps), net_size=(96, 128), classes=classes, anchors=anchors,
            nms_threshold=_pick(rng, 0.1, 0.5), obj_threshold=_pick(rng, 0.3, 0.5, 0.99),
            keep_top_k=int(rng.choice([1, 20, 200])), tiny=tiny, yolo_v4=_chance(rng),
            spp_net=_chance(rng),
        )
    )  # fmt: skip


def retinaface_detection(nets: Nets) -> None:
    rng = nets.rng
    images, h, w = (int(v) for v in rng.integers(1, [3, 3, 3]))
    maps = []
    for scale in (1, 2, 4):
        size = (h * scale, w * scale)
        maps += [
            nets.input("scores", rng.random((images, 4, *size)), 1),
            nets.input("deltas", rng.normal(0, 0.4, (images, 8, *size)), 1.5),
            nets.input("marks", rng.normal(0, 1, (images, 20, *size)), 3),
        ]
    nets.end(
        RetinaFaceDetection(
            name="faces", inputs=tuple(maps[i] for i in rng.permutation(9)), nms_threshold=1.0,
            confidence_threshold=_pick(rng, 0.2, 0.8, 0.99),
            keep_top_k=int(rng.choice([1, 10, 60])),
        )
    )  # fmt: skip


def proposal(nets: Nets) -> None:
    rng = nets.rng
    h, w = (int(v) for v in rng.integers(1, [8, 8]))
    scores = nets.input("scores", rng.random((1, 18, h, w)), 1)
    deltas = nets.input("deltas", rng.normal(0, 0.3, (1, 36, h, w)), 1)
    nets.end(
        Proposal(
            name="rois", inputs=(scores, deltas), anchor_base_size=int(rng.choice([16, 15, 33])),
            net_size=(16 * h, 16 * w), obj_threshold=_pick(rng, -1, 0.01, 0.6, 0.95, 1.5),
            nms_threshold=_pick(rng, 0.3, 0.7), post_nms_top_n=int(rng.choice([1, 10, 300])),
        )
    )  # fmt: skip


def frcn_detection(nets: Nets) -> None:
    rng = nets.rng
    count, classes = int(rng.choice([1, 8, 60])), int(rng.integers(2, 6))
    corner = rng.integers(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(10, 67, (count, 2))], axis=1)
    regions = np.concatenate([np.zeros((count, 1)), boxes], axis=1)
    if _chance(rng):
        logits = nets.input("logits", rng.normal(0, 2, (count, classes)), 6)
        scores = nets.add(Softmax(name="chances", inputs=(logits,), axis=1))
    else:
        scores = nets.input("scores", rng.random((count, classes, 1, 1)), 1)
    deltas = rng.normal(0, 0.2, (1, 1, count, classes * 4))
    nets.end(
        FrcnDetection(
            name="objects",
            inputs=(
                nets.input("deltas", deltas, 1), scores,
                nets.input("rois", regions.reshape(1, 1, count, 5), 127),
            ),
            class_num=classes, obj_threshold=_pick(rng, 0.0, 0.3, 0.52, 0.95),
            nms_threshold=_pick(rng, 0.1, 0.3, 0.7), keep_top_k=int(rng.choice([1, 10, 100])),
        )
    )  # fmt: skip


def roi_pooling(nets: Nets) -> None:
    rng = nets.rng
    n, c, h, w = (int(v) for v in rng.integers([1, 2, 1, 1], [3, 6, 16, 16]))
    num, ph, pw = (int(v) for v in rng.integers(1, [9, 5, 5]))
    corner = rng.integers(-20, 100, (n * num, 2))
    regions = np.concatenate([corner, corner + rng.integers(-10, 60, (n * num, 2))], axis=1)
    table = np.concatenate([rng.integers(0, n, (n * num, 1)), regions], axis=1)
    x = nets.input("x", rng.normal(0, 1, (n, c, h, w)), 3)
    features = nets.add(Relu(name="features", inputs=(x,)), 3)
    shape = (n, 1, num, 5) if _chance(rng) else (n * num, 5)
    rois = nets.input("rois", table.reshape(shape), 127)
    nets.end(
        RoiPooling(
            name="pooled", inputs=(features, rois), pooled=(ph, pw),
            spatial_scale=_pick(rng, 1 / 16, 0.1),
        )
    )  # fmt: skip


MAKERS: dict[str, Maker] = {
    "DetectionOutput": detection_output,
    "YoloDetection": yolo_detection,
    "RetinaFaceDetection": retinaface_detection,
    "Proposal": proposal,
    "FrcnDetection": frcn_detection,
    "RoiPooling": roi_pooling,
}


def random_nets(name: str, seed: int, count: int) -> Nets:
    nets = Nets(np.random.default_rng(seed))
    for _ in range(count):
        MAKERS[name](nets)
    return nets
