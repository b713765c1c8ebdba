"""How thresholds travel to tensors that share one."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import network, table_of

from cvi.errors import InputError
from cvi.ir import Graph
from cvi.ops import (
    Abs,
    Add,
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
    found.suit_sums(graph)
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


def exact(threshold: float, result: float) -> bool:
    """Whether the ratio is a whole number of at most 127, halved some times."""
    multipliers = [threshold / result * 2**shift for shift in range(16)]
    return any(0.9 < m < 127.1 and abs(m - round(m)) < 1e-9 for m in multipliers)


def test_operands_of_a_sum_get_exact_multipliers() -> None:
    graph = network(conv("a"), conv("b"), Add(name="s", inputs=("a", "b")), conv("out", "s"), w=W)
    found = thresholds(graph, x=1, a=0.777, b=3.33, s=4, out=1)
    assert (found["x"], found["s"], found["out"]) == (1, 4, 1)
    for name, given in (("a", 0.777), ("b", 3.33)):
        assert exact(found[name], found["s"])
        assert found[name] == pytest.approx(given, rel=0.02)


def test_coefficients_of_a_sum_count() -> None:
    graph = network(
        conv("a"), conv("b"), Add(name="s", inputs=("a", "b"), coefficients=(0.3, -2.0)), w=W
    )
    found = thresholds(graph, x=1, a=7.1, b=1.9, s=4)
    assert exact(found["a"] * 0.3, found["s"]) and exact(found["b"] * 2, found["s"])


def test_a_chain_of_sums_is_exact_from_the_last_one_on() -> None:
    graph = network(
        conv("a"), conv("b"), Add(name="s", inputs=("a", "b")),
        conv("c", "s"), Add(name="t", inputs=("s", "c")), w=W,
    )  # fmt: skip
    found = thresholds(graph, x=1, a=1.11, b=2.22, s=3.33, c=0.987, t=4.1)
    assert found["t"] == 4.1
    assert all(exact(found[name], found["t"]) for name in ("s", "c"))
    assert all(exact(found[name], found["s"]) for name in ("a", "b"))


def test_what_shares_a_threshold_changes_together() -> None:
    graph = network(
        conv("a"), Reshape(name="r", inputs=("a",), shape=(1, 4, 64, 1)), conv("b"),
        Add(name="s", inputs=("r", "r")), w=W,
    )  # fmt: skip
    found = thresholds(graph, x=1, a=1.11, r=1.11, b=2.22, s=3.33)
    assert found["a"] == found["r"] != 1.11 and exact(found["r"], found["s"])


def test_given_thresholds_and_an_operand_that_is_the_result_stay() -> None:
    graph = network(
        Sigmoid(name="p", inputs=("x",)), Add(name="s", inputs=("x", "p")),
        Relu(name="r", inputs=("s",)), Add(name="t", inputs=("s", "r")), w=W,
    )  # fmt: skip
    found = thresholds(graph, x=0.9, p=5, s=1.3, r=1.3, t=3)
    assert (found["x"], found["p"], found["t"]) == (0.9, 1, 3)
    assert found["s"] == found["r"] and exact(found["s"], 3)


def test_a_sum_clips_no_operand_by_more_than_two_per_cent() -> None:
    for given in np.linspace(0.05, 0.2, 40):
        graph = network(conv("a"), conv("b"), Add(name="s", inputs=("a", "b")), w=W)
        found = thresholds(graph, x=1, a=float(given), b=9.0, s=10.0)
        assert found["a"] >= 0.98 * given and exact(found["a"], 10.0)
