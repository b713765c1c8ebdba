"""How thresholds travel to tensors that share one."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import network, table_of

from cvi.errors import InputError
from cvi.ir import Graph
from cvi.ops import (
    Abs,
    Clip,
    Concat,
    Conv2d,
    MaxPool2d,
    Mul,
    PoolMask,
    Relu,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    Tanh,
)
from cvi_tpu.quantized.thresholds import Thresholds

W = np.zeros((4, 4, 1, 1))


def conv(name: str, source: str = "x", **attributes: object) -> Conv2d:
    return Conv2d(name=name, inputs=(source, "w", ""), **attributes)  # type: ignore[arg-type]


def thresholds(graph: Graph, **given: float) -> dict[str, float]:
    found = Thresholds(graph, table_of(given))
    return {op.name: found[op.name] for op in graph.ops}


def test_a_relu_passes_its_threshold_to_its_only_producer() -> None:
    graph = network(conv("c"), Relu(name="r", inputs=("c",)), w=W)
    assert thresholds(graph, x=1, c=9, r=2) == {"x": 1, "c": 2, "r": 2}


def test_with_other_users_the_relu_takes_its_producers() -> None:
    graph = network(conv("c"), Relu(name="r", inputs=("c",)), outputs=("c", "r"), w=W)
    assert thresholds(graph, x=1, c=9, r=2) == {"x": 1, "c": 9, "r": 9}


def test_inputs_keep_their_own() -> None:
    graph = network(Relu(name="r", inputs=("x",)))
    assert thresholds(graph, x=4, r=2) == {"x": 4, "r": 4}


def test_concatenation_passes_its_threshold_through_a_chain() -> None:
    graph = network(
        conv("a"),
        MaxPool2d(name="p", inputs=("a",), kernel=(1, 1)),
        conv("b"),
        Concat(name="j", inputs=("p", "b")),
        MaxPool2d(name="q", inputs=("j",), kernel=(2, 2)),
        w=W,
    )
    assert thresholds(graph, x=1, a=2, p=3, b=4, j=5, q=6) == {
        "x": 1, "a": 6, "p": 6, "b": 6, "j": 6, "q": 6,
    }  # fmt: skip


def test_concatenation_of_a_shared_tensor_leaves_it() -> None:
    graph = network(
        conv("a"), conv("b", "a"), Concat(name="j", inputs=("a", "b")), w=W, outputs=("j",)
    )
    assert thresholds(graph, x=1, a=2, b=4, j=5) == {"x": 1, "a": 2, "b": 5, "j": 5}


def test_movement_without_an_entry_follows_its_operand() -> None:
    graph = network(conv("c"), Reshape(name="s", inputs=("c",), shape=(4, 64)), w=W)
    assert thresholds(graph, x=1, c=9) == {"x": 1, "c": 9, "s": 9}


def test_abs_only_takes() -> None:
    graph = network(conv("c"), Abs(name="a", inputs=("c",)), w=W)
    assert thresholds(graph, x=1, c=9, a=2) == {"x": 1, "c": 9, "a": 9}


def test_clamps_limit_thresholds() -> None:
    graph = network(
        conv("c", relu=True, relu_max=6.0),
        conv("d"),
        Relu(name="r", inputs=("d",), maximum=3.0),
        conv("e"),
        Clip(name="k", inputs=("e",), minimum=-5.0, maximum=2.0),
        w=W,
        outputs=("c", "r", "k"),
    )
    found = thresholds(graph, x=1, c=50, d=50, r=50, e=50, k=50)
    assert found == {"x": 1, "c": 6, "d": 3, "r": 3, "e": 5, "k": 5}
    below = thresholds(graph, x=1, c=4, d=50, r=50, e=50, k=50)
    assert below["c"] == 4


def test_a_product_with_the_mask_of_a_pool_takes_the_others() -> None:
    ones = (1,) * 4
    graph = network(
        PoolMask(name="m", inputs=("x",), size=(2, 2)),
        Slice(name="s", inputs=("m",), starts=(0,) * 4, sizes=(1, 4, 8, 8), steps=ones),
        Mul(name="y", inputs=("x", "s")),
    )
    assert thresholds(graph, x=3, m=1, s=1, y=9) == {"x": 3, "m": 127, "s": 127, "y": 3}


def test_functions_with_a_known_range() -> None:
    graph = network(
        Sigmoid(name="s", inputs=("x",)),
        Tanh(name="t", inputs=("x",)),
        Sigmoid(name="u", inputs=("x",), scale=2.0, bias=-3.0),
        outputs=("s", "t", "u"),
    )
    assert thresholds(graph, x=4, s=0.3, t=0.3, u=0.3) == {"x": 4, "s": 1, "t": 1, "u": 3}


def test_a_missing_entry_matters_only_when_it_is_needed() -> None:
    graph = network(conv("c"), Softmax(name="s", inputs=("c",), axis=1), w=W)
    found = Thresholds(graph, table_of({"x": 1, "c": 2}))
    assert found["c"] == 2
    with pytest.raises(InputError, match="no threshold for layer 's'"):
        found["s"]


def test_without_a_table_there_is_no_int8() -> None:
    with pytest.raises(InputError, match="needs a calibration table") as error:
        Thresholds(network(Relu(name="r", inputs=("x",))), None)
    assert "cvi calibrate" in error.value.fix
