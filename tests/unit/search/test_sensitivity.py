"""The loss of a layer against a literal replacement of its value in the whole network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi import plugins
from cvi.calibrate.calibrate import calibrate
from cvi.calibrate.table import CalibrationTable
from cvi.execute import evaluate
from cvi.flow.real import quantised_input, real
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import Add, AvgPool2d, Concat, Conv2d, FullyConnected, MaxPool2d, Reshape
from cvi.search.journal import Journal, digest_of
from cvi.search.sensitivity import Loss, candidates, losses
from cvi.walk import relative_error

Images = list[dict[str, Array]]


def net() -> Graph:
    """Convolutions with and without an offset result, a residual sum, pools, two outputs."""
    random = np.random.default_rng(3)

    def normal(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float32)

    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 3, 8, 8))))
    graph.constants = {
        "w1": normal(4, 3, 3, 3), "w2": normal(4, 4, 3, 3), "w3": normal(4, 8, 1, 1),
        "w4": normal(5, 4), "b1": normal(4),
    }  # fmt: skip
    same = (1, 1, 1, 1)
    graph.add(Conv2d(name="c1", inputs=("x", "w1", "b1"), pads=same, relu=True))
    graph.add(Conv2d(name="c2", inputs=("c1", "w2", ""), pads=same, relu=True))
    graph.add(Concat(name="cat", inputs=("c1", "c2")))
    graph.add(Conv2d(name="c3", inputs=("cat", "w3", "")))
    graph.add(Add(name="sum", inputs=("c3", "c2"), relu=True))
    graph.add(MaxPool2d(name="max", inputs=("sum",), kernel=(2, 2), stride=(2, 2)))
    graph.add(AvgPool2d(name="mean", inputs=("max",), kernel=(4, 4)))
    graph.add(Reshape(name="flat", inputs=("mean",), shape=(1, 4)))
    graph.add(FullyConnected(name="fc", inputs=("flat", "w4", "")))
    graph.outputs = ("fc", "c3")
    return graph


def images(count: int = 3) -> Images:
    random = np.random.default_rng(4)
    return [{"x": random.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


@pytest.fixture(scope="module")
def quantised() -> tuple[Graph, Graph, CalibrationTable]:
    graph = net()
    table = calibrate(graph, images(), method="max")
    plugins.load_ops()
    made = plugins.scheme("int8").quantize(
        graph, table, None, plugins.chip("cv183x"), inputs_type="int8", outputs_type="int8"
    )
    return graph, made, table


def _literal(graph: Graph, quantised: Graph, name: str, data: Images) -> float:
    """The layer's operands rounded to their stored types, its int8 result put back as a
    constant, and everything else computed anew."""
    found = []
    for image in data:
        values = evaluate(graph, image, keep=True)
        stored = {
            op.name: quantised_input(Input(name=op.name, type=op.type), values[op.name])
            for op in quantised
            if op.name in graph[name].inputs
        }
        for op in quantised.ops:
            if op.name not in stored and (not isinstance(op, Input)):
                ready = [stored.get(i, quantised.constants.get(i)) for i in op.inputs]
                if all(r is not None or not i for r, i in zip(ready, op.inputs, strict=True)):
                    stored[op.name] = op.evaluate(*ready)
        value = real(stored[name], quantised.type_of(name))
        fixed = Graph(
            graph.name,
            [op for op in graph.ops if op.name != name],
            graph.outputs,
            {**graph.constants, name: value},
        )
        found.append(evaluate(fixed, image))
    return relative_error(found, [evaluate(graph, image) for image in data])


def test_losses_are_those_of_a_literal_replacement(
    quantised: tuple[Graph, Graph, CalibrationTable],
) -> None:
    graph, made, _ = quantised
    found = {loss.layer: loss for loss in losses(graph, made, images())}
    assert list(found) == ["x", "c1", "c2", "c3", "sum", "mean", "fc"]
    assert found.pop("x").loss is None
    for name, loss in found.items():
        expected = _literal(graph, made, name, images())
        assert loss.loss == pytest.approx(expected, rel=1e-4), name
        assert loss.loss > 0


@pytest.mark.parametrize("name", ["x", "c1", "sum", "fc"])
def test_rounding_of_a_result_alone(
    quantised: tuple[Graph, Graph, CalibrationTable], name: str
) -> None:
    graph, made, _ = quantised
    found = {loss.layer: loss.rounding for loss in losses(graph, made, images())}
    kind, results = made.type_of(name), []
    assert kind.scale is not None
    for image in images():
        value = evaluate(graph, image, keep=True)[name]
        steps = np.clip(np.rint(value / kind.scale) + kind.zero, -128, 127)
        fixed = ((steps - kind.zero) * kind.scale).astype(np.float32)
        ops = [op for op in graph.ops if op.name != name]
        one = Graph(graph.name, ops, graph.outputs, {**graph.constants, name: fixed})
        fed = {} if name == "x" else image
        results.append(evaluate(one, fed))
    expected = relative_error(results, [evaluate(graph, image) for image in images()])
    assert found[name] == pytest.approx(expected, rel=1e-4)
    assert found[name] > 0


def test_executors_give_the_same(quantised: tuple[Graph, Graph, CalibrationTable]) -> None:
    graph, made, _ = quantised
    slow = [loss.rounding for loss in losses(graph, made, images())]
    fast = [loss.rounding for loss in losses(graph, made, images(), executors=plugins.executors())]
    assert fast == pytest.approx(slow, rel=1e-3)


def test_what_only_moves_elements_is_no_candidate(
    quantised: tuple[Graph, Graph, CalibrationTable],
) -> None:
    graph, made, _ = quantised
    assert not {"cat", "flat", "max"} & set(candidates(graph, made))


def test_relative_error_by_hand() -> None:
    ones = np.ones(4, np.float32)
    assert relative_error([{"y": ones * 1.1}], [{"y": ones}]) == pytest.approx(0.01, rel=1e-5)
    assert relative_error([{"y": ones * 0}], [{"y": ones * 0}]) == 0
    assert relative_error([{"y": ones}], [{"y": ones * 0}]) == 1
    two = [{"y": ones, "z": ones * 3}]
    assert relative_error([{"y": ones * 2, "z": ones * 3}], two) == pytest.approx(0.5)


def test_an_image_with_a_tiny_output_does_not_count_more() -> None:
    large, tiny = np.full(2, 10, np.float32), np.full(2, 1e-3, np.float32)
    found = relative_error([{"y": large}, {"y": tiny + 1}], [{"y": large}, {"y": tiny}])
    assert found == pytest.approx(0.01, rel=1e-5)


def test_an_interrupted_search_goes_on(
    tmp_path: Path, quantised: tuple[Graph, Graph, CalibrationTable]
) -> None:
    graph, made, _ = quantised
    whole = {loss.layer: loss for loss in losses(graph, made, images())}
    path, digest = tmp_path / "losses", digest_of(graph, made, images())
    first = Journal(path, digest)
    for loss in losses(graph, made, images()):
        first.add(loss)
        if loss.layer == "c3":
            break
    with path.open("a") as file:
        file.write('["sum", 0.1')  # the power went while this was written
    second = Journal(path, digest)
    assert list(second.losses) == ["x", "c1", "c2", "c3"]
    rest = list(losses(graph, made, images(), known=second.losses))
    assert [loss.layer for loss in rest] == ["sum", "mean", "fc"]
    for loss in rest:
        second.add(loss)
    assert second.losses == whole
    assert Journal(path, digest).losses == whole


def test_losses_of_something_else_are_not_used(
    tmp_path: Path, quantised: tuple[Graph, Graph, CalibrationTable]
) -> None:
    graph, made, _ = quantised
    path = tmp_path / "losses"
    Journal(path, digest_of(graph, made, images())).add(Loss("c1", 1.0, 0.5))
    assert Journal(path, digest_of(graph, made, images(2))).losses == {}
    path.write_bytes(b"\xff\x00 no journal")
    assert Journal(path, digest_of(graph, made, images())).losses == {}
    assert Journal(None, "").losses == {}
