"""`cvi search` on a network of which one layer suffers from INT8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cvi
from cvi.calibrate.calibrate import calibrate
from cvi.cli import main
from cvi.errors import InputError
from cvi.ir import Array, Graph, Input, TensorType, storage
from cvi.ops import Conv2d
from cvi.search.select import Target


def _net() -> Graph:
    """`bad` has one huge weight per channel on an input that is nearly always tiny."""
    random = np.random.default_rng(5)
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 4, 6, 6))))
    for name in ("first", "bad", "last"):
        weight = random.standard_normal((4, 4, 1, 1)).astype(np.float32)
        if name == "bad":
            weight[:, 0] = 0
            weight[0, 0] = 300.0
        graph.constants[f"{name}_w"] = weight
        source = graph.ops[-1].name
        graph.add(Conv2d(name=name, inputs=(source, f"{name}_w", "")))
    graph.constants["first_w"][0] = 0.0005
    graph.outputs = ("last",)
    return graph


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    random = np.random.default_rng(6)
    graph = _net()
    storage.save(graph, tmp_path / "net.cvi.json")
    (tmp_path / "data").mkdir()
    images: list[dict[str, Array]] = []
    for i in range(4):
        images.append({"x": random.standard_normal((1, 4, 6, 6)).astype(np.float32)})
        np.save(tmp_path / "data" / f"{i}.npy", images[-1]["x"])
    calibrate(graph, images, method="max").write(tmp_path / "table")
    monkeypatch.chdir(tmp_path)
    return tmp_path


_COMMAND = (
    "search", "net.cvi.json", "--chip", "cv183x", "--calibration-table", "table",
    "--dataset", "data", "-o", "mix.txt",
)  # fmt: skip


def test_the_layer_that_suffers_is_chosen(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_COMMAND, "--max-bf16-layers", "1"]) == 0
    assert (world / "mix.txt").read_text() == "bad\n"
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[0] == "bad"
    assert "1 of 3 layers in BF16" in out


def test_a_target_needs_as_few_layers_as_possible(world: Path) -> None:
    def found(least: float) -> cvi.Search:
        return cvi.search_precision(
            "net.cvi.json", "mix.txt", chip="cv183x", calibration_table="table", dataset="data",
            budget=cvi.Budget(target=Target("cos", least)),
        )  # fmt: skip

    assert found(0.5).selection.layers == ()
    tight = found(0.99999)
    assert tight.selection.layers[0] == "bad"
    assert tight.reached >= 0.99999


def test_a_target_out_of_reach_is_told(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_COMMAND, "--target", "cos=1"]) == 3
    assert "not reached" in capsys.readouterr().out
    assert (world / "mix.txt").exists()


def test_a_search_goes_on_from_its_loss_table(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*_COMMAND, "--loss-table", "losses"]) == 0
    lines = (world / "losses").read_text().splitlines()
    assert len(lines) == 5
    (world / "losses").write_text("\n".join(lines[:3]) + "\n")
    capsys.readouterr()
    assert main([*_COMMAND, "--loss-table", "losses"]) == 0
    assert "2 layers were measured before" in capsys.readouterr().err
    assert (world / "losses").read_text().splitlines() == lines


def test_lost_images_and_slowdown(world: Path) -> None:
    (world / "labels").write_text("".join(f"{i}.npy {i}\n" for i in range(4)))
    found = cvi.search_precision(
        "net.cvi.json", "mix.txt", chip="cv183x", calibration_table="table", dataset="data",
        labels="labels", budget=cvi.Budget(target=Target("drop", 0.0), max_slowdown=1.0),
    )  # fmt: skip
    assert found.selection.layers == ()
    assert found.reached <= 0


def test_what_cannot_be_asked(world: Path) -> None:
    with pytest.raises(InputError, match="without labels"):
        cvi.search_precision(
            "net.cvi.json", "mix.txt", chip="cv183x", calibration_table="table", dataset="data",
            budget=cvi.Budget(target=Target("drop", 0.5)),
        )  # fmt: skip
    assert main([*_COMMAND, "--max-slowdown", "0.5"]) == 2
    assert main([*_COMMAND, "--target", "speed=1"]) == 2
