"""The guide's networks and the trained models: the catalogue, the measurements, the page."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from benchmarks.networks.catalogue import GUIDE, LEAST, NETWORKS, TRAINED, Network, network
from benchmarks.networks.measure import (
    CHIPS,
    Floats,
    Program,
    measure_floats,
    measure_programs,
    parameters,
)
from benchmarks.networks.page import page
from benchmarks.networks.predictions import Predictions
from benchmarks.networks.results import Kept, found, measure

import cvi
from cvi.ir import Graph
from cvi.macs import macs
from vendor_here import needs_vendor

QUICK = (
    "mobilenet_v2", "shufflenet_v2", "squeezenet_v1.1", "retinaface_mnet25", "yolo_v3_tiny",
    "espcn_3x", "erfnet", "googlenet",
)  # fmt: skip


def _loaded(entry: Network, folder: Path) -> Graph:
    files = entry.model.files(folder)
    return cvi.load(
        files.model,
        batch=1,
        weights=files.weights,
        random_weights=files.random_weights,
        input_shapes=entry.model.input_shapes,
        simplified=False,
    )


def _load_cases() -> list[object]:
    rest = [entry.name for entry in GUIDE if entry.published is None and entry.name not in QUICK]
    return [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in rest)]


def _own_cases() -> list[object]:
    own = [entry for entry in GUIDE if entry.published is not None]
    quick = ("efficientnet-lite_b0", "retinaface_res50")
    return [
        pytest.param(entry.name, marks=[] if entry.name in quick else [pytest.mark.slow])
        for entry in own
    ]


def test_both_lists_of_the_guide_are_in_the_catalogue(shared: Path) -> None:
    with (shared / "facts" / "networks.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = {row["network"] for row in rows if row["seed_cv183x_bs"]}
    second = {row["network"] for row in rows if row["seed_cv182x_bs"]}
    assert (len(first), len(second)) == (36, 24)
    assert {entry.name for entry in GUIDE} == first | second


def test_every_file_of_the_shared_folder_is_in_the_catalogue(shared: Path) -> None:
    files = {
        path.resolve()
        for folder, pattern in (
            ("models/caffe", "*.prototxt"),
            ("models/onnx", "*.onnx"),
            ("models/tflite", "*.tflite"),
            ("prototxt", "*.prototxt"),
        )
        for path in (shared / folder).rglob(pattern)
    }
    files.remove(shared.resolve() / "prototxt" / "yolo_v3_tiny.prototxt")
    assert files <= {entry.model.file.resolve() for entry in NETWORKS}
    assert len({entry.name for entry in NETWORKS}) == len(NETWORKS)
    assert all(entry.model.present for entry in TRAINED)


@pytest.mark.parametrize("name", _load_cases())
def test_networks_of_the_guide_load(name: str, shared: Path, tmp_path: Path) -> None:
    graph = _loaded(network(name), tmp_path)
    assert sum(macs(graph, op) for op in graph.ops) > 1e8
    assert graph.outputs


@pytest.mark.parametrize("name", _own_cases())
def test_our_definitions_have_the_published_figures(name: str, tmp_path: Path) -> None:
    entry = network(name)
    if entry.model.file.suffix == ".keras" and not find_spec("tensorflow"):
        pytest.skip("TensorFlow is not installed")
    graph = _loaded(entry, tmp_path)
    assert entry.published is not None
    assert parameters(graph) / 1e6 == pytest.approx(entry.published.parameters, rel=0.012)
    assert sum(macs(graph, op) for op in graph.ops) / 1e6 == pytest.approx(
        entry.published.macs, rel=0.06
    )


def test_activations_neither_grow_nor_vanish(tmp_path: Path) -> None:
    from cvi.execute import run_float

    graph = _loaded(network("efficientnet-lite_b0"), tmp_path)
    layers = [op.name for op in graph.ops if op.kind in ("Conv2d", "FullyConnected")]
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    values = run_float(graph, {graph.inputs[0].name: image}, layers, cvi.plugins.executors())
    deviations = [float(values[name].std()) for name in layers]
    assert len(layers) == 50
    assert 0.3 < min(deviations) <= max(deviations) < 3


# -- measurements -----------------------------------------------------------------------


def test_a_network_is_compared_layer_by_layer(shared: Path, tmp_path: Path) -> None:
    result = measure_floats(network("squeezenet_v1.1"), tmp_path)
    assert (result.layers, result.compared, result.skipped) == (39, 39, {})
    assert LEAST <= result.worst <= 1
    assert result.below == {}
    assert (result.parameters, result.macs) == (1_235_496, 387_747_520)


def test_a_layer_that_is_not_close_enough_is_told(shared: Path, tmp_path: Path) -> None:
    strict = replace(network("lenet"), least=1.1)
    result = measure_floats(strict, tmp_path)
    assert len(result.below) == result.compared > 5


def test_a_network_that_cannot_be_read_is_told(shared: Path, tmp_path: Path) -> None:
    entry = network("lenet")
    broken = replace(entry, model=replace(entry.model, weights=entry.model.image))
    assert "is no .caffemodel" in measure_floats(broken, tmp_path).error


@needs_vendor
@pytest.mark.vendor
def test_programs_are_compared_with_the_vendor(shared: Path, tmp_path: Path) -> None:
    programs = list(measure_programs(network("lenet"), tmp_path, CHIPS))
    assert [program.chip for program in programs] == [*CHIPS]
    for program in programs:
        assert program.tensors > 5
        assert program.bytes > 10_000
        assert (program.differ, program.problems, program.refused) == (0, (), ())


def test_what_is_measured_is_kept(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measure("mtcnn_det1", tmp_path, programs=False) == []
    monkeypatch.setattr("benchmarks.networks.results.measure_floats", None)
    assert measure("mtcnn_det1", tmp_path, programs=False) == []
    kept = Kept(tmp_path)
    kept.write("mtcnn_det1.cv183x", Program(chip="cv183x", bytes=7, refused=("a: b",)))
    rows = {entry.name: (floats, programs) for entry, floats, programs in found(kept)}
    floats, programs = rows["mtcnn_det1"]
    assert floats is not None
    assert floats.compared == 10
    assert programs == [Program(chip="cv183x", bytes=7, refused=("a: b",))]
    assert rows["lenet"] == (None, [])


def test_page_tells_figures_and_reasons() -> None:
    floats = Floats(
        frontend="onnx",
        inputs="1x3x224x224",
        layers=9,
        compared=7,
        skipped={"no such layer": 2},
        worst=0.99999996,
        below={"conv1": 0.5},
        macs=4_159_832_064,
        parameters=25_287_304,
    )
    programs = [
        Program(chip="cv183x", bytes=1234, problems=("late: 3 of 10 bytes differ",), differ=3),
        Program(chip="cv182x", refused=("odd (Lstm): no INT8 form",)),
    ]
    checked = Predictions(images=500, agreed=499, ours=360, theirs=361, apart=2e-6)
    unmeasured = (network("lenet"), None, [])
    text = page([(network("res2net50"), floats, programs), unmeasured], checked)
    assert (
        "| res2net50 | onnx | bottlenecks.py | 1x3x224x224 | 9 | 7 | 0.9999999 | 4,160 (4200) "
        "| 25.29 (25.3) |" in text
    )
    assert "- res2net50: no such layer: 2; conv1 has 0.5000000." in text
    assert "| res2net50 |  | 1,234 | 3 | refused |  |" in text
    assert "- res2net50, cv183x: late: 3 of 10 bytes differ" in text
    assert "- res2net50, cv182x: odd (Lstm): no INT8 form" in text
    assert "the same class for 499 of 500 images" in text
    assert "In all 1 programs and 1,234 bytes were compared, 3 differ. 2 programs" in text


@pytest.mark.parametrize("worst", [0.99999999, float("nan")])
def test_page_never_rounds_a_cosine_up(worst: float) -> None:
    text = page([(network("lenet"), Floats(layers=1, worst=worst), [])], None)
    assert "| 1.0000000 |" not in text
