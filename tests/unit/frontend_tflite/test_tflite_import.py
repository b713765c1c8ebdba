"""Names, inputs, outputs, batches, signatures and refusals of the TFLite importer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tflite_compare import Agree

from cvi.errors import InputError, UnsupportedError
from cvi.ir import Graph
from cvi_frontend_tflite.frontend import TfliteFrontend
from tflite_models import RELU6, SAME, TANH, Net, Scales, random

LOAD = TfliteFrontend().load


def conv(net: Net, x: int, channels: int, **fields: int) -> int:
    w, b = net.const(random(channels, 3, 3, 3)), net.const(random(channels))
    strides = {"StrideH": 1, "StrideW": 1, "Padding": SAME}
    return net.op("CONV_2D", x, w, b, options="Conv2DOptions", **strides, **fields)  # type: ignore[no-any-return]


def classifier(net: Net) -> int:
    x = conv(net, net.input(1, 4, 4, 3, name="image"), 5)
    mean = net.op("MEAN", x, net.const([1, 2]), options="ReducerOptions", KeepDims=False)
    flat = net.op("RESHAPE", mean, net.const([1, 5]))
    return net.op("SOFTMAX", flat, options="SoftmaxOptions", Beta=1.0, named="scores")  # type: ignore[no-any-return]


def load(tmp_path: Path, net: Net, *outputs: int, **options: object) -> Graph:
    return LOAD(net.save(tmp_path / "net.tflite", *outputs), **options)  # type: ignore[arg-type]


def test_layers_are_named_by_tensor_and_op(tmp_path: Path) -> None:
    net = Net()
    graph = load(tmp_path, net, classifier(net))
    assert graph.name == "net"
    assert [op.name for op in graph.ops] == ["image", "t0_CONV_2D", "t1_MEAN", "scores_SOFTMAX"]
    assert [op.source for op in graph.ops] == ["image", "t0", "t1", "scores"]
    assert graph.inputs[0].type.shape == (1, 3, 4, 4)
    assert graph.outputs == ("scores_SOFTMAX",)


def test_equal_names_are_made_unique(tmp_path: Path) -> None:
    net = Net()
    x = net.input(2, 3, name="same")
    y = net.op("TANH", net.op("ABS", x, named="same"), named="")
    graph = load(tmp_path, net, y)
    assert [op.source for op in graph.ops] == ["same", "same_1", "t1"]


def test_signature_names_inputs_and_outputs(agree: Agree) -> None:
    net = Net()
    scores = classifier(net)
    net.signature = ({"pixels": net.inputs[0]}, {"probabilities": scores})
    graph = agree(net.done(scores))
    assert [op.name for op in graph.inputs] == ["pixels"]
    assert graph.outputs == ("probabilities",)
    assert graph["probabilities"].kind == "Softmax"


def test_signature_output_that_is_another_tensor_stored_otherwise(agree: Agree) -> None:
    net = Net()
    grid = Scales([1 / 256], [-128])
    y = net.op("QUANTIZE", classifier(net), named="out", type="INT8", scales=grid)
    net.signature = ({"pixels": net.inputs[0]}, {"probabilities": y})
    graph = agree(net.done(y), tolerance=0.01)
    assert graph.outputs == ("probabilities",)
    assert graph["probabilities"].kind == "Softmax"


def test_outputs_cut_by_tensor_layer_signature_and_pattern(tmp_path: Path) -> None:
    net = Net()
    scores = classifier(net)
    net.signature = ({"pixels": net.inputs[0]}, {"probabilities": scores})
    path = net.save(tmp_path / "net.tflite", scores)
    for wanted, found in (
        ("t0", "t0_CONV_2D"),
        ("t1_MEAN", "t1_MEAN"),
        ("probabilities", "probabilities"),
        ("scores_SOFTMAX", "probabilities"),
        ("*CONV*", "t0_CONV_2D"),
    ):
        assert LOAD(path, outputs=[wanted]).outputs == (found,)
    with pytest.raises(InputError, match="no tensor or layer matches 't9'"):
        LOAD(path, outputs=["t9"])


def test_batch_changes_also_the_shapes_in_the_model(agree: Agree) -> None:
    net = Net()
    scores = classifier(net)
    graph = agree(net.done(scores), batch=3)
    assert graph.inputs[0].type.shape == (3, 3, 4, 4)
    assert graph[graph.outputs[0]].type.shape == (3, 5)


def test_free_sizes_must_be_given(agree: Agree, tmp_path: Path) -> None:
    net = Net()
    x = net.input(1, 1, 1, 3, name="x", signature=(-1, -1, -1, 3))
    path = net.save(tmp_path / "net.tflite", conv(net, x, 2))
    with pytest.raises(InputError, match="free") as caught:
        LOAD(path)
    assert "N,C,H,W" in caught.value.fix
    graph = agree(path.read_bytes(), input_shapes={"x": (2, 3, 6, 5)})
    assert graph[graph.outputs[0]].type.shape == (2, 2, 6, 5)
    with pytest.raises(InputError, match="no input 'y'"):
        LOAD(path, input_shapes={"y": (1, 3, 6, 5)})
    with pytest.raises(InputError, match="4 dimensions, not 2"):
        LOAD(path, input_shapes={"x": (1, 3)})


def test_output_in_another_order_is_turned_back(agree: Agree) -> None:
    """[n, h * w, c] is held as [n, c, h * w], but given as the model gives it."""
    net = Net()
    y = net.op("RESHAPE", conv(net, net.input(1, 4, 4, 3), 5), net.const([1, 16, 5]))
    graph = agree(net.done(y))
    assert graph.outputs == ("t1_RESHAPE",)
    assert graph["t1_RESHAPE"].type.shape == (1, 16, 5)


def test_every_unsupported_op_is_named_at_once(tmp_path: Path) -> None:
    net = Net()
    x = net.input(2, 3)
    a = net.op("CUMSUM", x)
    net.tensors[a].shape = (2, 3)
    b = net.op("TFLite_Detection_PostProcess", a, custom=True)
    net.tensors[b].shape = (2, 3)
    c = net.op("POW", b, net.const([[1.0, 2.0, 3.0]]))
    with pytest.raises(UnsupportedError, match="3 parts") as caught:
        load(tmp_path, net, c)
    assert caught.value.problems == (
        "CUMSUM 't0': the op is not supported",
        "TFLite_Detection_PostProcess 't1': the custom op is not supported",
        "POW 't2': has an exponent per element; one for all is supported",
    )
    with pytest.raises(UnsupportedError, match="1 part of"):
        LOAD(tmp_path / "net.tflite", outputs=["t0"])


def test_constants_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    net = Net()
    words = net.const(np.zeros(4, np.int8), name="words")
    net.tensors[words].type = "STRING"
    y = net.op("ADD", net.input(4), words)
    with pytest.raises(UnsupportedError) as caught:
        load(tmp_path, net, y)
    assert caught.value.problems == ("the tensor 'words' is of type STRING",)


def test_fused_tanh_is_a_layer(tmp_path: Path) -> None:
    """The schema has it; the interpreter's own kernels do not know it."""
    net = Net()
    graph = load(tmp_path, net, conv(net, net.input(1, 4, 4, 3), 2, FusedActivationFunction=TANH))
    assert [op.kind for op in graph.ops] == ["Input", "Conv2d", "Tanh"]
    assert [op.source for op in graph.ops] == ["x", "", "t0"]


def test_fused_relu6_is_in_the_layer(tmp_path: Path) -> None:
    net = Net()
    graph = load(tmp_path, net, conv(net, net.input(1, 4, 4, 3), 2, FusedActivationFunction=RELU6))
    assert [op.kind for op in graph.ops] == ["Input", "Conv2d"]
    assert (graph.ops[1].attributes()["relu"], graph.ops[1].attributes()["relu_max"]) == (True, 6.0)


def test_whole_numbers_become_floats(agree: Agree) -> None:
    """Pixels that are fed as uint8 and cast in the network."""
    net = Net()
    x = net.input(1, 4, 4, 3, type="UINT8")
    y = net.op("CAST", x, options="CastOptions", InDataType=3, OutDataType=0)
    pixels = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    graph = agree(net.done(net.op("MUL", y, net.const(0.5))), {"x": pixels})
    assert len(graph.ops) == 2


def test_indices_look_up_rows(agree: Agree) -> None:
    net = Net()
    x = net.input(2, 3, type="INT32")
    y = net.op("GATHER", net.const(random(7, 4)), x, options="GatherOptions", Axis=0)
    indices = np.array([[0, 6, 2], [3, 3, 1]], np.float32)
    graph = agree(net.done(y), {"x": indices})
    assert graph.ops[-1].kind == "Embedding"


def test_page_names_every_converter() -> None:
    import re

    from cvi_frontend_tflite.registry import built_in

    page = (Path(__file__).resolve().parents[3] / "docs" / "tflite.md").read_text()
    table = page.partition("## Ops")[2].partition("| | |")[2]
    named = set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", table))
    assert named == set(built_in())


def test_plugins_convert_custom_ops(tmp_path: Path) -> None:
    from cvi.ops import Abs
    from cvi_frontend_tflite.importer import Importer
    from cvi_frontend_tflite.node import Node
    from cvi_frontend_tflite.reader import read_model
    from cvi_frontend_tflite.registry import built_in
    from cvi_frontend_tflite.values import Value

    def magnitude(node: Node) -> Value:
        x = node.operand(0)
        return node.emit(Abs(name=node.layer), x, order=x.order)

    net = Net()
    data = net.done(net.op("Magnitude", net.input(1, 4, 4, 3), custom=True))
    importer = Importer(read_model(data), {**built_in(), "Magnitude": magnitude}, name="n")
    graph = importer.run()
    assert [op.name for op in graph.ops] == ["x", "t0_Magnitude"]
    assert graph.ops[1].type.shape == (1, 3, 4, 4)


def test_outputs_that_are_one_tensor_in_several_orders(agree: Agree) -> None:
    net = Net()
    x = net.input(1, 4, 5, 3)
    y = net.op("RELU", x)
    turned = [
        net.op("TRANSPOSE", source, net.const(order))
        for source, order in ((x, [2, 0, 3, 1]), (y, [3, 2, 1, 0]), (y, [0, 3, 1, 2]))
    ]
    flat = net.op("RESHAPE", y, net.const([1, 20, 3]))
    rows = net.op("TRANSPOSE", flat, net.const([1, 0, 2]))
    graph = agree(net.done(y, *turned, flat, rows))
    shapes = [graph[name].type.shape for name in graph.outputs]
    assert shapes == [(1, 3, 4, 5), (5, 1, 3, 4), (3, 5, 4, 1), (1, 20, 3), (20, 1, 3)]
