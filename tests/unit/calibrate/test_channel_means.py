"""The means of channels, in calibration and in tables."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.calibrate.calibrate import calibrate
from cvi.calibrate.table import CalibrationTable
from cvi.errors import InputError
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import Conv2d, FullyConnected, Reshape

Images = list[dict[str, Array]]


def _net() -> Graph:
    graph = Graph("net")
    random = np.random.default_rng(0)
    graph.constants = {
        "w": random.standard_normal((3, 2, 1, 1)).astype(np.float32),
        "v": random.standard_normal((4, 12)).astype(np.float32),
    }
    graph.add(Input(name="x", type=TensorType((1, 2, 2, 2))))
    graph.add(Conv2d(name="a layer", inputs=("x", "w", ""), relu=True))
    graph.add(Reshape(name="flat", inputs=("a layer",), shape=(1, 12)))
    graph.add(FullyConnected(name="fc", inputs=("flat", "v", "")))
    graph.outputs = ("fc",)
    return graph


def _images() -> Images:
    random = np.random.default_rng(1)
    return [{"x": random.standard_normal((1, 2, 2, 2)).astype(np.float32)} for _ in range(5)]


def test_means_of_what_filters_read() -> None:
    table = calibrate(_net(), _images())
    assert list(table.means) == ["x", "flat"]
    x = np.stack([image["x"] for image in _images()])
    assert table.means["x"] == pytest.approx(x.mean(axis=(0, 1, 3, 4)), rel=1e-6)
    assert len(table.means["flat"]) == 12


def test_a_table_keeps_them_in_comments() -> None:
    table = calibrate(_net(), _images())
    text = table.text()
    again = CalibrationTable.parse(text)
    assert again.means == table.means
    assert again.text() == text
    plain = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    assert CalibrationTable.parse(plain).entries == table.entries


def test_names_with_blanks_and_broken_lines() -> None:
    table = CalibrationTable.parse("x 1.0\n# means: 2 0.5 -1e-3 a layer\n")
    assert table.means == {"a layer": (0.5, -0.001)}
    for line in ("# means: 3 0.5 1 x", "# means: 2 0.5 one x"):
        with pytest.raises(InputError, match="line 2"):
            CalibrationTable.parse(f"x 1.0\n{line}\n")
