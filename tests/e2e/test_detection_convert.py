"""Networks with lists of boxes, from an IR file to a verified program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cvi
from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.compare import Match
from cvi.errors import UnsupportedError
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs
from cvi.ir import Array, DType, Graph, Input, TensorType, storage
from cvi.ops import (
    Concat,
    Conv2d,
    DetectionOutput,
    FrcnDetection,
    FullyConnected,
    Permute,
    Proposal,
    Reshape,
    RoiPooling,
    Sigmoid,
    Softmax,
    prior_boxes,
)
from cvi.plugins import chip
from cvi.precision import PrecisionPlan
from cvi.preprocess.tensors import load_tensors
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.quantized.scheme import Int8Scheme
from cvi_tpu.runtime.runner import run_file
from vendor_here import VENDOR

REGIONS, CLASSES = 6, 3


class Builder:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(4)
        self.graph = Graph("rcnn")

    def weight(self, *shape: int, gain: float = 1.0) -> str:
        scale = gain / np.sqrt(np.prod(shape[1:]))
        return self.graph.constant("w", self.rng.normal(0, scale, shape).astype(np.float32))

    def conv(
        self, name: str, x: str, channels: int, kernel: int = 1, relu: bool = False,
        gain: float = 1.0,
    ) -> None:  # fmt: skip
        depth, stride = self.graph.type_of(x).shape[1], (kernel, kernel)
        weight = self.weight(channels, depth, kernel, kernel, gain=gain)
        self.graph.add(Conv2d(name=name, inputs=(x, weight), stride=stride, relu=relu))

    def dense(self, name: str, x: str, units: int, relu: bool = False, gain: float = 1.0) -> None:
        weight = self.weight(units, self.graph.type_of(x).shape[1], gain=gain)
        self.graph.add(FullyConnected(name=name, inputs=(x, weight), relu=relu))


def faster_rcnn() -> Graph:
    """Both stages, small, with random weights."""
    make = Builder()
    graph = make.graph
    graph.add(Input(name="x", type=TensorType((1, 2, 96, 96))))
    make.conv("features", "x", 8, kernel=16, relu=True)
    make.conv("logits", "features", 18)
    graph.add(Sigmoid(name="scores", inputs=("logits",)))
    make.conv("shifts", "features", 36)
    graph.add(
        Proposal(
            name="rois", inputs=("scores", "shifts"), net_size=(96, 96), obj_threshold=0.5,
            nms_threshold=0.7, post_nms_top_n=REGIONS,
        )
    )  # fmt: skip
    pool = RoiPooling(name="pool", inputs=("features", "rois"), pooled=(3, 3), spatial_scale=1 / 16)
    graph.add(pool)
    graph.add(Reshape(name="flat", inputs=("pool",), shape=(REGIONS, 72)))
    make.dense("fc", "flat", 16, relu=True)
    make.dense("classes", "fc", CLASSES, gain=4)
    graph.add(Softmax(name="chances", inputs=("classes",), axis=1))
    make.dense("boxes", "fc", CLASSES * 4, gain=0.2)
    graph.add(
        FrcnDetection(
            name="objects", inputs=("boxes", "chances", "rois"), class_num=CLASSES,
            obj_threshold=0.2, nms_threshold=0.95, keep_top_k=10,
        )
    )  # fmt: skip
    graph.outputs = ("objects", "chances")
    return graph


def ssd() -> Graph:
    """Two maps of 6 x 6 and 3 x 3 cells, three boxes each, two classes and the background."""
    make = Builder()
    graph, loc, conf, priors = make.graph, [], [], []
    graph.add(Input(name="x", type=TensorType((1, 2, 96, 96))))
    make.conv("deep", "x", 16, kernel=16, relu=True)
    make.conv("deeper", "deep", 16, kernel=2, relu=True)
    for name, cells in (("deep", 6), ("deeper", 3)):
        for kind, fields, parts in (("loc", 4, loc), ("conf", CLASSES, conf)):
            head = f"{name}_mbox_{kind}"
            make.conv(head, name, 3 * fields, gain=2)
            graph.add(Permute(name=f"{head}_perm", inputs=(head,), order=(0, 2, 3, 1)))
            shape = (1, 3 * fields * cells**2)
            parts.append(f"{head}_flat")
            graph.add(Reshape(name=parts[-1], inputs=(f"{head}_perm",), shape=shape))
        size = 96 / cells
        priors.append(
            prior_boxes(
                feature=(cells, cells), image=(96, 96), min_sizes=[1.5 * size],
                aspect_ratios=[2, 0.5], variances=[0.1, 0.1, 0.2, 0.2], step=(size, size),
            )
        )  # fmt: skip
    graph.constants["mbox_priorbox"] = np.concatenate(priors, axis=2)
    graph.add(Concat(name="mbox_loc", inputs=tuple(loc), axis=1))
    graph.add(Concat(name="mbox_conf", inputs=tuple(conf), axis=1))
    boxes = 3 * (36 + 9)
    graph.add(Reshape(name="rows", inputs=("mbox_conf",), shape=(1, boxes, CLASSES)))
    graph.add(Softmax(name="chances", inputs=("rows",), axis=2))
    graph.add(Reshape(name="flat_chances", inputs=("chances",), shape=(1, boxes * CLASSES)))
    graph.add(
        DetectionOutput(
            name="detection_out", inputs=("mbox_loc", "flat_chances", "mbox_priorbox"),
            num_classes=CLASSES, nms_threshold=0.45, top_k=100, keep_top_k=90,
            confidence_threshold=0.6,
        )
    )  # fmt: skip
    graph.outputs = ("detection_out",)
    return graph


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "rcnn.cvi.json"
    storage.save(faster_rcnn(), path)
    (tmp_path / "data").mkdir()
    for i in range(4):
        x = np.random.default_rng(i).normal(0, 1, (1, 2, 96, 96)).astype(np.float32)
        np.savez(tmp_path / "data" / f"{i}.npz", x=x)
    return path


def convert(model: Path, name: str) -> cvi.Conversion:
    folder = model.parent
    return cvi.convert(
        model, folder / "rcnn.cvimodel", chip=name, dataset=folder / "data",
        images=[folder / "data" / "0.npz"], keep_tensors=True, work_dir=folder / "work",
        method="max",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["cv183x", "cv181x"])
def test_what_follows_from_boxes_is_compared_for_the_same_boxes(model: Path, name: str) -> None:
    result = convert(model, name)
    comparison = result.comparisons["verify-quantised"]
    assert list(comparison.uncompared) == ["rois", "objects"]
    table = {row.name: row for row in comparison.rows}
    for layer in ("features", "scores", "pool", "fc", "classes", "boxes", "chances"):
        assert table[layer].similarity.cosine > 0.98, layer
    csv = (model.parent / "work" / "rcnn_verify-quantised.csv").read_text()
    assert 'objects,,-,-,-,-,NOT COMPARED,"a list of boxes' in csv
    assert {row.similarity.match for row in result.comparisons["verify-machine"].rows} == {
        Match.EQUAL
    }
    fed = quantised_inputs(result.quantised, load_tensors(model.parent / "data" / "0.npz"))
    ours = run_file(result.path, fed)
    assert boxes_in(ours["objects"]) > 1
    if VENDOR:
        theirs = VendorRunner().run(result.path, fed, timeout=60)
        for output, value in theirs.items():
            np.testing.assert_array_equal(ours[output], value)


def boxes_in(rows: Array) -> int:
    return int(np.count_nonzero(rows[..., 5]))


def test_ssd_finds_the_boxes_of_the_float_graph(model: Path) -> None:
    """The names of its operands are those by which the runtime looks for them."""
    graph = ssd()
    storage.save(graph, model)
    result = convert(model, "cv182x")
    inputs = load_tensors(model.parent / "data" / "0.npz")
    fed = quantised_inputs(result.quantised, inputs)
    (ours,) = run_file(result.path, fed).values()
    (want,) = evaluate(graph, inputs).values()
    sure = want[want[..., 2] > 0.85]
    assert 3 < len(sure) < 90
    for row in sure:
        near = ours[ours[..., 1] == row[1]]
        assert np.abs(near[:, 2:] - row[2:]).max(axis=1).min() < 0.1
    if VENDOR:
        (theirs,) = VendorRunner().run(result.path, fed, timeout=60).values()
        np.testing.assert_array_equal(ours, theirs)


def test_lists_of_boxes_stay_floats(model: Path) -> None:
    graph = faster_rcnn()
    scheme = Int8Scheme()
    table = CalibrationTable({op.name: Threshold(4, -4, 4) for op in graph.ops})
    quantised = scheme.quantize(graph, table, PrecisionPlan(), chip("cv183x"), outputs_type="int8")
    types = [quantised.type_of(name).dtype for name in quantised.outputs]
    assert types == [DType.FP32, DType.INT8]


def test_the_chip_without_cpu_functions_refuses_each_by_name(model: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        convert(model, "cv180x")
    refused = [problem.split(" ")[0] for problem in caught.value.problems]
    assert refused == ["rois", "pool", "chances", "objects"]
