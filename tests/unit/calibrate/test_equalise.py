"""Equalised networks compute the same numbers, with channels of one range."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.calibrate.equalise import equalised
from cvi.execute import evaluate
from cvi.ir import Array, Graph, Input, Op, TensorType
from cvi.ops import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    FullyConnected,
    LeakyRelu,
    MaxPool2d,
    PRelu,
    Reshape,
)

_RANDOM = np.random.default_rng(7)


def _uneven(*shape: int) -> Array:
    """Filters of very different sizes."""
    sizes = 2.0 ** _RANDOM.integers(-6, 6, shape[0])
    values = _RANDOM.standard_normal(shape) * sizes.reshape(-1, *[1] * (len(shape) - 1))
    return values.astype(np.float32)


def _graph(*ops: Op, outputs: tuple[str, ...] = (), **constants: Array) -> Graph:
    graph = Graph("net", constants=constants)
    graph.add(Input(name="x", type=TensorType((1, 3, 6, 6))))
    for op in ops:
        graph.add(op)
    graph.outputs = outputs or (ops[-1].name,)
    graph.check()
    return graph


def _conv(name: str, source: str, **options: object) -> Conv2d:
    inputs = (source, f"{name}_w", f"{name}_b" if options.pop("bias", False) else "")
    return Conv2d(name=name, inputs=inputs, **options)  # type: ignore[arg-type]


def _branches() -> Graph:
    """Everything that lets scales pass."""
    same = (1, 1, 1, 1)
    return _graph(
        _conv("a", "x", bias=True, relu=True, pads=same),
        _conv("d", "a", group=4, pads=same),
        LeakyRelu(name="leaky", inputs=("d",), slope=0.25),
        _conv("b", "leaky"),
        PRelu(name="slopes", inputs=("b", "s")),
        MaxPool2d(name="max", inputs=("a",), kernel=(3, 3), pads=same),
        Concat(name="cat", inputs=("slopes", "max")),
        _conv("c", "cat", relu=True),
        AvgPool2d(name="mean", inputs=("c",), kernel=(2, 2), stride=(2, 2)),
        Reshape(name="flat", inputs=("mean",), shape=(1, 45)),
        FullyConnected(name="y", inputs=("flat", "y_w", "")),
        a_w=_uneven(4, 3, 3, 3), a_b=_uneven(4), d_w=_uneven(4, 1, 3, 3), b_w=_uneven(5, 4, 1, 1),
        s=np.float32([0.5, 0.1, 1.5, 0.0, 0.3]), c_w=_uneven(5, 9, 1, 1), y_w=_uneven(7, 45),
    )  # fmt: skip


def test_the_outputs_are_the_same_to_the_bit() -> None:
    graph = _branches()
    made, count = equalised(graph)
    assert count == 4
    x = {"x": _RANDOM.standard_normal((1, 3, 6, 6)).astype(np.float32)}
    for name, constant in graph.constants.items():
        assert made.constants[name].dtype == constant.dtype
    assert made.ops == graph.ops
    assert np.array_equal(evaluate(made, x)["y"], evaluate(graph, x)["y"])


def test_both_sides_get_the_same_largest_weights() -> None:
    graph = _graph(
        _conv("a", "x", relu=True),
        _conv("y", "a"),
        a_w=_uneven(8, 3, 1, 1),
        y_w=_uneven(5, 8, 1, 1),
    )
    made, _ = equalised(graph)
    rows = np.abs(made.constants["a_w"]).max(axis=(1, 2, 3))
    columns = np.abs(made.constants["y_w"]).max(axis=(0, 2, 3))
    assert (np.abs(np.log2(rows / columns)) <= 1).all()
    assert np.ptp(np.log2(np.abs(graph.constants["a_w"]).max(axis=(1, 2, 3)))) > 4
    assert not np.array_equal(graph.constants["a_w"], made.constants["a_w"])


def test_a_second_time_there_is_nothing_to_do() -> None:
    made, _ = equalised(_branches())
    again, count = equalised(made)
    assert count == 0
    assert all(np.array_equal(again.constants[n], array) for n, array in made.constants.items())


def test_channels_that_nobody_reads_or_makes_stay() -> None:
    weights = {"a_w": _uneven(4, 3, 1, 1), "y_w": _uneven(2, 4, 1, 1)}
    weights["a_w"][1] = 0
    weights["y_w"][:, 2] = 0
    graph = _graph(_conv("a", "x"), _conv("y", "a"), **weights)
    made, _ = equalised(graph)
    assert np.array_equal(made.constants["a_w"][1:3], weights["a_w"][1:3])
    assert np.array_equal(made.constants["y_w"][:, 1:3], weights["y_w"][:, 1:3])


_W = {"a_w": _uneven(3, 3, 1, 1), "y_w": _uneven(3, 3, 1, 1)}


@pytest.mark.parametrize(
    "graph",
    [
        _graph(_conv("a", "x", relu=True, relu_max=6.0), _conv("y", "a"), **_W),
        _graph(_conv("a", "x"), _conv("y", "a"), outputs=("a", "y"), **_W),
        _graph(_conv("a", "x"), _conv("c", "a"), Add(name="y", inputs=("a", "c")),
               a_w=_W["a_w"], c_w=_W["y_w"]),
        _graph(_conv("a", "x"), _conv("y", "a", pads=(1, 1, 1, 1), pad_value=2.0), **_W),
        _graph(_conv("a", "x"), Conv2d(name="y", inputs=("a", "a_w", "")), a_w=_W["a_w"]),
        _graph(_conv("a", "x"), Concat(name="cat", inputs=("a", "a")),
               Conv2d(name="y", inputs=("cat", "w", "")), a_w=_W["a_w"], w=_uneven(2, 6, 1, 1)),
        _graph(_conv("a", "x"), _conv("y", "a", group=2),
               a_w=_uneven(4, 3, 1, 1), y_w=_uneven(2, 2, 1, 1)),
    ],
    ids=["clamp", "output", "sum", "padding", "shared weights", "twice", "groups"],
)  # fmt: skip
def test_tensors_whose_scales_would_not_cancel_stay(graph: Graph) -> None:
    made, count = equalised(graph)
    assert count == 0
    assert all(made.constants[name] is array for name, array in graph.constants.items())
