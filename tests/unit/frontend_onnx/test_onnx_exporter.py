"""Graph -> ONNX -> onnxruntime equals the reference meaning of the ops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from cvi import ops
from cvi.errors import InputError, UnsupportedError
from cvi.execute import evaluate
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import FullyConnected
from cvi.ops.functions import COMPARISONS, FUNCTIONS
from cvi_frontend_onnx.executor import OnnxRuntimeExecutor
from cvi_frontend_onnx.exporter import exporters, to_onnx

RNG = np.random.default_rng(11)
IMAGE = (2, 4, 7, 6)


@dataclass(frozen=True)
class Case:
    """An op, the shapes of its data operands and of its constants. below: the data are whole
    numbers below it."""

    op: Op
    data: tuple[tuple[int, ...], ...] = (IMAGE,)
    constants: tuple[tuple[int, ...], ...] = ()
    positive: bool = False
    below: int = 0

    def __str__(self) -> str:
        shown = [f"{k}={v}" for k, v in self.op.attributes().items() if v]
        return f"{self.op.kind}({','.join(shown)})"[:90].replace(" ", "")


def unary(op: Op, positive: bool = False) -> Case:
    return Case(op, positive=positive)


def lstm_constants(dirs: int) -> tuple[tuple[int, ...], ...]:
    """All operands of an Lstm of 4 units for a sequence of 2 x 3."""
    return (dirs, 16, 3), (dirs, 16, 4), (dirs, 32), (dirs, 2, 4), (dirs, 2, 4)


Y = "y"
CASES = [
    unary(ops.Relu(name=Y)),
    unary(ops.Relu(name=Y, maximum=0.5)),
    unary(ops.LeakyRelu(name=Y, slope=0.2)),
    unary(ops.Clip(name=Y, minimum=-0.3, maximum=0.4)),
    unary(ops.Sigmoid(name=Y)),
    unary(ops.Sigmoid(name=Y, scale=2.0, bias=-1.0)),
    unary(ops.Tanh(name=Y)),
    unary(ops.Elu(name=Y, alpha=0.7)),
    unary(ops.Exp(name=Y)),
    unary(ops.Exp(name=Y, scale=0.5, bias=1.0)),
    unary(ops.Log(name=Y), positive=True),
    unary(ops.Sqrt(name=Y), positive=True),
    unary(ops.Pow(name=Y, exponent=1.5), positive=True),
    unary(ops.Reciprocal(name=Y), positive=True),
    unary(ops.Abs(name=Y)),
    unary(ops.Neg(name=Y)),
    unary(ops.Softplus(name=Y)),
    unary(ops.Softplus(name=Y, scale=3.0)),
    unary(ops.Swish(name=Y)),
    unary(ops.Mish(name=Y)),
    unary(ops.HardSigmoid(name=Y, alpha=0.3, beta=0.4)),
    unary(ops.HardSwish(name=Y)),
    unary(ops.Erf(name=Y)),
    unary(ops.Gelu(name=Y)),
    unary(ops.Gelu(name=Y, approximate=True)),
    *(unary(ops.Elementary(name=Y, which=which)) for which in sorted(FUNCTIONS)),
    *(unary(ops.Compare(name=Y, which=which, value=0.2)) for which in sorted(COMPARISONS)),
    unary(ops.Shrink(name=Y, threshold=0.3, bias=0.1)),
    unary(ops.ThresholdedRelu(name=Y, threshold=0.4)),
    Case(ops.PRelu(name=Y), constants=((4,),)),
    Case(ops.PRelu(name=Y), data=((3, 5),), constants=((5,),)),
    Case(ops.Conv2d(name=Y, pads=(1, 0, 2, 1), stride=(2, 1)), constants=((5, 4, 3, 3), (5,))),
    Case(ops.Conv2d(name=Y, dilation=(2, 1), relu=True), constants=((5, 4, 3, 3),)),
    Case(ops.Conv2d(name=Y, group=4, relu=True, relu_max=0.5), constants=((4, 1, 3, 3), (4,))),
    Case(ops.Conv2d(name=Y, pads=(1, 1, 1, 1), pad_value=0.5), constants=((5, 4, 3, 3),)),
    Case(
        ops.ConvTranspose2d(name=Y, stride=(2, 3), pads=(1, 0, 0, 1), output_padding=(1, 2)),
        constants=((4, 3, 3, 3), (3,)),
    ),
    Case(ops.ConvTranspose2d(name=Y, group=2, relu=True), constants=((4, 3, 2, 2),)),
    Case(ops.FullyConnected(name=Y), data=((3, 5),), constants=((4, 5), (4,))),
    Case(ops.FullyConnected(name=Y, relu=True), data=((3, 5),), constants=((4, 5),)),
    Case(ops.FullyConnected(name=Y, relu=True), data=((2, 3, 5),), constants=((4, 5), (4,))),
    Case(ops.FullyConnected(name=Y), data=((2, 3, 5),), constants=((4, 5),)),
    Case(ops.MatMul(name=Y), data=((2, 3, 5), (2, 5, 4))),
    Case(ops.MatMul(name=Y, relu=True), data=((2, 3, 5), (5, 4))),
    Case(ops.Add(name=Y), data=(IMAGE, IMAGE)),
    Case(ops.Add(name=Y, relu=True), data=(IMAGE, IMAGE, (4, 1, 1))),
    Case(ops.Add(name=Y, coefficients=(0.5, -2.0)), data=(IMAGE, IMAGE)),
    Case(ops.Add(name=Y, coefficients=(1.0, 3.0, -1.0), relu=True), data=(IMAGE,) * 3),
    Case(ops.Mul(name=Y, relu=True, relu_max=0.2), data=(IMAGE, IMAGE, IMAGE, IMAGE)),
    Case(ops.Sub(name=Y), constants=((4, 1, 1),)),
    Case(ops.Div(name=Y), data=(IMAGE, (1, 4, 1, 1)), positive=True),
    Case(ops.Max(name=Y), data=(IMAGE, IMAGE, IMAGE)),
    Case(ops.Min(name=Y, relu=True), data=(IMAGE, (6,))),
    Case(ops.BatchNorm(name=Y, eps=0.01), constants=((4,),) * 4, positive=True),
    Case(ops.Scale(name=Y, relu=True), constants=((4,), (4,))),
    Case(ops.Scale(name=Y), data=((3, 4),), constants=((4,),)),
    Case(ops.LayerNorm(name=Y, axis=3)),
    Case(ops.LayerNorm(name=Y, axis=1, eps=0.01), constants=((4, 7, 6), (4, 7, 6))),
    Case(ops.LayerNorm(name=Y, axis=2), data=((2, 3, 5),), constants=((5,),)),
    *(
        Case(ops.Lstm(name=Y, direction=direction, result=result), data=((5, 2, 3),), constants=k)
        for direction in ("forward", "reverse")
        for result in ("sequence", "hidden", "cell")
        for k in (((1, 16, 3), (1, 16, 4)), lstm_constants(1))
    ),
    Case(ops.Lstm(name=Y, direction="bidirectional"), ((5, 2, 3),), lstm_constants(2)),
    Case(
        ops.Lstm(name=Y, direction="bidirectional", result="cell"), ((5, 2, 3),), lstm_constants(2)
    ),
    *(
        Case(
            ops.Gru(name=Y, direction=direction, result=result, linear_before_reset=linear),
            ((5, 2, 3),),
            ((dirs, 12, 3), (dirs, 12, 4), (dirs, 24), (dirs, 2, 4)),
        )
        for direction, dirs in (("forward", 1), ("reverse", 1), ("bidirectional", 2))
        for result in ("sequence", "hidden")
        for linear in (True, False)
    ),
    Case(ops.Softmax(name=Y, axis=1)),
    Case(ops.Softmax(name=Y, axis=3, log=True)),
    Case(ops.Lrn(name=Y, size=3, alpha=0.8, beta=0.75)),
    Case(ops.Lrn(name=Y, size=5, alpha=0.8, beta=0.6, k=2.0), data=((2, 9, 3),)),
    Case(ops.Lrn(name=Y, size=4, alpha=0.8, beta=0.6)),
    Case(ops.SquarePower(name=Y, exponent=-0.5)),
    Case(ops.SquarePower(name=Y, exponent=0.5, size=3), data=((2, 9, 3),)),
    Case(ops.SquarePower(name=Y, exponent=-2.0, size=12, scale=0.4, shift=1.5)),
    Case(ops.Normalize(name=Y), constants=((4,),)),
    Case(ops.Normalize(name=Y, across_spatial=True, eps=0.3), constants=((4,),)),
    Case(ops.InstanceNorm(name=Y), constants=((4,), (4,))),
    *(
        Case(ops.Reduce(name=Y, method=m, axes=(1, 3), keepdims=k))
        for m in ("mean", "max", "min", "sum", "l2")
        for k in (True, False)
    ),
    Case(ops.Std(name=Y, axes=(2, 3), correction=1.0)),
    Case(ops.Std(name=Y, axes=(1,), keepdims=False)),
    Case(ops.ArgMax(name=Y, axis=1)),
    Case(ops.ArgMax(name=Y, axis=3, keepdims=False)),
    Case(ops.Embedding(name=Y), data=((3, 2),), constants=((7, 5),), below=7),
    Case(ops.MaxPool2d(name=Y, kernel=(3, 2), stride=(2, 2), pads=(1, 0, 2, 1))),
    Case(ops.MaxPool2d(name=Y, kernel=(2, 2), pads=(0, 0, 3, 1), stride=(2, 2))),
    Case(ops.MaxPool2d(name=Y, kernel=(2, 2), dilation=(2, 3))),
    Case(ops.PoolMask(name=Y, size=(2, 2))),
    Case(ops.PoolMask(name=Y, size=(3, 4))),
    Case(ops.AvgPool2d(name=Y, kernel=(7, 6), relu=True)),
    Case(ops.AvgPool2d(name=Y, kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1))),
    Case(ops.AvgPool2d(name=Y, kernel=(3, 3), pads=(1, 1, 1, 1), count_include_pad=True)),
    *(
        Case(
            ops.AvgPool2d(
                name=Y,
                kernel=(3, 3),
                stride=(3, 3),
                pads=(1, 1, 2, 1),
                ceil_pads=(2, 1),
                count_include_pad=c,
            )
        )
        for c in (True, False)
    ),
    Case(ops.Upsample(name=Y, factors=(2, 3))),
    *(
        Case(ops.Resize(name=Y, size=(10, 9), scales=(10 / 7, 1.5), mode=m, coordinates=c))
        for m in ("nearest", "linear")
        for c in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    ),
    *(
        Case(ops.Resize(name=Y, size=(3, 4), scales=(0.5, 0.7), nearest_mode=n))
        for n in ("floor", "ceil", "round_prefer_ceil")
    ),
    Case(ops.Reshape(name=Y, shape=(8, 42))),
    Case(ops.Permute(name=Y, order=(0, 2, 3, 1))),
    Case(ops.Concat(name=Y, axis=2), data=(IMAGE, IMAGE, (2, 4, 1, 6))),
    Case(ops.Slice(name=Y, starts=(0, 1, 0, 1), sizes=(2, 2, 7, 3), steps=(1, 2, 1, 2))),
    Case(ops.Reverse(name=Y, axis=1)),
    Case(ops.Reverse(name=Y, axis=3)),
    Case(ops.Pad(name=Y, before=(0, 0, 1, 2), after=(0, 1, 0, 3), value=1.5)),
    Case(ops.Pad(name=Y, before=(0, 0, 1, 2), after=(0, 0, 0, 3), mode="reflect")),
    Case(ops.Pad(name=Y, before=(0, 0, 1, 2), after=(0, 0, 0, 3), mode="edge")),
    Case(ops.PixelShuffle(name=Y, factor=2)),
    Case(ops.PixelShuffle(name=Y, factor=2, mode="DCR")),
    Case(ops.Tile(name=Y, repeats=(1, 2, 1, 3))),
]


def graph_of(case: Case) -> Graph:
    graph = Graph("case")
    names = [f"x{i}" for i in range(len(case.data))]
    for name, shape in zip(names, case.data, strict=True):
        graph.add(Input(name=name, type=TensorType(shape)))
    for shape in case.constants:
        values = RNG.normal(size=shape).astype(np.float32)
        names.append(graph.constant("k", np.abs(values) + 0.1 if case.positive else values))
    graph.add(case.op.with_(inputs=tuple(names)))
    graph.outputs = (Y,)
    return graph


@pytest.mark.parametrize("case", CASES, ids=str)
def test_op(case: Case) -> None:
    graph = graph_of(case)
    onnx.checker.check_model(to_onnx(graph), full_check=True)
    feeds = {op.name: RNG.normal(size=op.type.shape).astype(np.float32) for op in graph.inputs}
    if case.below:
        feeds = {k: np.floor(np.abs(x) * 9) % case.below for k, x in feeds.items()}
    if case.positive:
        feeds = {name: np.abs(x) + np.float32(0.1) for name, x in feeds.items()}
    got = OnnxRuntimeExecutor().session(graph, [Y]).run(feeds)[Y]
    want = evaluate(graph, feeds)[Y]
    assert got.shape == want.shape == graph[Y].type.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_every_float_op_is_exported_and_tested() -> None:
    # the regions of RoiPooling come from lists of boxes
    left_out = {"Unary", "Eltwise", "Movement", "Recurrent", "RoiPooling"}
    float_ops = {getattr(ops, name) for name in ops.__all__ if name not in left_out}
    float_ops = {kind for kind in float_ops if issubclass(kind, Op) and not kind.incomparable}
    assert set(exporters()) == float_ops
    assert {type(case.op) for case in CASES} == float_ops


def chain() -> Graph:
    graph = Graph("chain")
    graph.add(Input(name="x", type=TensorType((1, 3))))
    graph.add(ops.Abs(name="a", inputs=("x",)))
    graph.add(ops.Neg(name="b", inputs=("a",)))
    graph.outputs = ("b",)
    return graph


def test_all_layers_can_be_asked_for() -> None:
    x = np.array([[1, -2, 3]], np.float32)
    found = OnnxRuntimeExecutor(threads=1).session(chain(), ["a", "x", "b"]).run({"x": x})
    assert list(found) == ["a", "x", "b"]
    assert np.array_equal(found["x"], x)
    assert np.array_equal(found["a"], np.abs(x))
    assert np.array_equal(found["b"], -np.abs(x))


def test_only_inputs_asked_for() -> None:
    x = np.zeros((1, 3), np.float32)
    assert list(OnnxRuntimeExecutor().session(chain(), ["x"]).run({"x": x})) == ["x"]


def test_missing_input_is_named() -> None:
    session = OnnxRuntimeExecutor().session(chain(), ["b"])
    with pytest.raises(InputError) as caught:
        session.run({"y": np.zeros(1, np.float32)})
    assert caught.value.where == "x"


def test_names_in_the_file_are_the_layers() -> None:
    model = to_onnx(chain(), ["a"])
    assert [o.name for o in model.graph.output] == ["a"]
    assert [n.output[0] for n in model.graph.node] == ["a", "b"]


def test_large_weights_stay_outside_the_model_of_a_session() -> None:
    random = np.random.default_rng(0)
    graph = Graph("outside")
    graph.constants["w"] = random.standard_normal((64, 64)).astype(np.float32)
    graph.constants["b"] = random.standard_normal(64).astype(np.float32)
    graph.add(Input(name="x", type=TensorType((1, 64))))
    graph.add(FullyConnected(name="y", inputs=("x", "w", "b")))
    graph.outputs = ("y",)
    outside: dict[str, Array] = {}
    model = to_onnx(graph, outside=outside)
    assert list(outside) == ["w"] and outside["w"] is graph.constants["w"]
    assert len(model.SerializeToString()) < 64 * 64
    x = random.standard_normal((1, 64)).astype(np.float32)
    found = OnnxRuntimeExecutor().session(graph, ["y"]).run({"x": x})["y"]
    expected = x @ graph.constants["w"].T + graph.constants["b"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


class Strange(Op):
    """An op that nobody can export."""

    def infer(self, inputs: object) -> TensorType:
        return TensorType((1, 3))


def test_unknown_ops_are_all_named() -> None:
    graph = chain()
    graph.add(Strange(name="s1", inputs=("x",)))
    graph.add(Strange(name="s2", inputs=("x",)))
    with pytest.raises(UnsupportedError) as caught:
        OnnxRuntimeExecutor().session(graph, ["b"])
    assert caught.value.problems == ("Strange s1", "Strange s2")


def test_quantised_graphs_are_refused() -> None:
    graph = Graph("int8")
    graph.add(Input(name="x", type=TensorType((1, 3), DType.INT8, 0.1)))
    graph.outputs = ("x",)
    with pytest.raises(UnsupportedError):
        to_onnx(graph)
