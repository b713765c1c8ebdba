"""What the importer promises beyond single ops: names, outputs, shapes, folding, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import Build, make_model, node

from cvi.errors import InputError, ModelError, UnsupportedError
from cvi.execute import evaluate
from cvi.hookspecs import Executor, Frontend
from cvi.ir import Graph
from cvi_frontend_onnx import plugin
from cvi_frontend_onnx.frontend import OnnxFrontend

LOAD = OnnxFrontend().load


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph]


# -- names ---------------------------------------------------------------------


def test_layers_are_named_by_output_and_op(build: Build) -> None:
    path = build(
        [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"])],
        {"x": (1, 3, 4, 4)},
        ["b"],
        {"w": np.ones((2, 3, 1, 1), np.float32)},
    )
    graph = LOAD(path)
    assert [op.name for op in graph] == ["x", "a_Conv", "b_Relu"]
    assert [op.source for op in graph] == ["x", "a", "b"]
    assert graph.outputs == ("b_Relu",)
    assert list(graph.constants) == ["w"]
    assert graph.name == "model"


def test_helpers_have_suffixes_and_no_source(build: Build) -> None:
    graph = LOAD(build([node("Softsign", ["x"], ["y"])], {"x": (2, 3)}, ["y"]))
    assert {op.name: op.source for op in graph} == {
        "x": "x",
        "y_Softsign_abs": "",
        "y_Softsign_add": "",
        "y_Softsign": "y",
    }


def test_split_makes_one_layer_per_output(build: Build) -> None:
    split = node("Split", ["x"], ["a", "b"], axis=1)
    graph = LOAD(build([split], {"x": (1, 4)}, ["a", "b"], opset=11))
    assert graph.outputs == ("a_Split", "b_Split")


def test_names_of_layers_and_constants_never_clash(build: Build) -> None:
    nodes = [node("Add", ["x", "y_Relu"], ["a"]), node("Relu", ["a"], ["y"])]
    graph = LOAD(build(nodes, {"x": (1, 3)}, ["y"], {"y_Relu": np.ones(3, np.float32)}))
    assert graph.outputs == ("y_Relu",)
    assert graph["y_Relu"].kind == "Relu"
    assert list(graph.constants) == ["y_Relu_1"]


def test_a_shared_weight_is_one_constant(build: Build) -> None:
    nodes = [node("Mul", ["x", "k"], ["a"]), node("Add", ["a", "k"], ["y"])]
    graph = LOAD(build(nodes, {"x": (1, 3)}, ["y"], {"k": np.ones(3, np.float32)}))
    assert list(graph.constants) == ["k"]


# -- outputs --------------------------------------------------------------------


CHAIN = [
    node("Relu", ["x"], ["a"]),
    node("Sigmoid", ["a"], ["b"]),
    node("NonMaxSuppression", ["b", "b"], ["c"]),
]


@pytest.mark.parametrize("pattern", ["b", "b_Sigmoid", "b_*", "?_Sig*"])
def test_outputs_cut_the_graph(build: Build, pattern: str) -> None:
    graph = LOAD(build(CHAIN, {"x": (1, 2, 4)}, ["c"]), outputs=[pattern])
    assert graph.outputs == ("b_Sigmoid",)
    assert kinds(graph) == ["Input", "Relu", "Sigmoid"]


def test_unknown_output_names_near_ones(build: Build) -> None:
    with pytest.raises(InputError, match="b_Sigmoid") as caught:
        LOAD(build(CHAIN, {"x": (1, 2, 4)}, ["c"]), outputs=["b_Sigmoit"])
    assert caught.value.where.endswith("--outputs")


def test_two_outputs_may_be_one_layer(build: Build) -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("Identity", ["a"], ["b"])]
    assert LOAD(build(nodes, {"x": (1, 3)}, ["a", "b"])).outputs == ("a_Relu",)


def test_output_that_is_an_input_gets_a_layer(build: Build) -> None:
    nodes = [node("Identity", ["x"], ["y"])]
    graph = LOAD(build(nodes, {"x": (1, 3)}, ["y"]))
    assert kinds(graph) == ["Input", "Reshape"]
    assert graph["y_Identity"].source == "y"


def test_constant_output_is_refused(build: Build) -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Shape", ["x"], ["s"])]
    path = build(nodes, {"x": (1, 3)}, ["y", "s"])
    with pytest.raises(UnsupportedError, match="constant") as caught:
        LOAD(path)
    assert "--outputs" in caught.value.fix
    assert LOAD(path, outputs=["y"]).outputs == ("y_Relu",)


# -- input shapes ------------------------------------------------------------------


def test_dynamic_batch_alone_is_one(build: Build) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": ("N", 3, 4, 4)}, ["y"])
    assert LOAD(path).inputs[0].type.shape == (1, 3, 4, 4)
    assert LOAD(path, batch=4).inputs[0].type.shape == (4, 3, 4, 4)


def test_other_dynamic_dimensions_must_be_given(build: Build) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": ("N", 3, "H", "W")}, ["y"])
    with pytest.raises(InputError, match="dimension 2") as caught:
        LOAD(path)
    assert caught.value.fix == "say --input-shape x=1,3,H,W"
    assert LOAD(path, input_shapes={"x": (2, 3, 5, 6)}).inputs[0].type.shape == (2, 3, 5, 6)


@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 3, 4, 0), (1, 3, -1, 4)])
def test_unfitting_shape_is_an_error(build: Build, shape: tuple[int, ...]) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": ("N", 3, "H", "W")}, ["y"])
    with pytest.raises(InputError, match="does not fit"):
        LOAD(path, input_shapes={"x": shape})


def test_unknown_input_names_the_real_ones(build: Build) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": (1, 3)}, ["y"])
    with pytest.raises(InputError, match="no input 'data'") as caught:
        LOAD(path, input_shapes={"data": (1, 3)})
    assert "x" in caught.value.fix


def test_batch_must_be_positive(build: Build) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": (1, 3)}, ["y"])
    with pytest.raises(InputError):
        LOAD(path, batch=0)


def test_batch_leaves_other_inputs_alone(build: Build) -> None:
    """An input whose first dimension is not the batch keeps it."""
    path = build(
        [node("Add", ["x", "anchors"], ["y"])], {"x": (1, 3, 7, 4), "anchors": (7, 4)}, ["y"]
    )
    graph = LOAD(path, batch=2)
    assert [op.type.shape for op in graph.inputs] == [(2, 3, 7, 4), (7, 4)]


@pytest.mark.parametrize(
    ("target", "expected"), [((1, -1), (4, 48)), ((1, 3, 16), (4, 3, 16)), ((-1, 3), (64, 3))]
)
def test_batch_baked_into_a_reshape(
    build: Build, target: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    path = build(
        [node("Reshape", ["x", "s"], ["y"])],
        {"x": (1, 3, 4, 4)},
        ["y"],
        {"s": np.array(target, np.int64)},
    )
    assert LOAD(path, batch=4)["y_Reshape"].type.shape == expected
    graph = LOAD(path, batch=4)
    x = np.arange(192, dtype=np.float32).reshape(4, 3, 4, 4)
    assert np.array_equal(evaluate(graph, {"x": x})["y_Reshape"], x.reshape(expected))


def test_batch_that_cannot_be_rederived_says_so(build: Build) -> None:
    path = build(
        [node("Reshape", ["x", "s"], ["y"])],
        {"x": (1, 3, 4, 4)},
        ["y"],
        {"s": np.array((3, 16), np.int64)},
    )
    with pytest.raises(ModelError, match="batch 1 is part of the model"):
        LOAD(path, batch=4)


def test_constants_of_a_concatenation_are_repeated_for_the_batch(build: Build) -> None:
    """The class token of a vision transformer."""
    token = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    path = build([node("Concat", ["k", "x"], ["y"], axis=1)], {"x": (1, 4, 3)}, ["y"], {"k": token})
    graph = LOAD(path, batch=2)
    x = np.ones((2, 4, 3), np.float32)
    expected = np.concatenate([np.tile(token, (2, 1, 1)), x], axis=1)
    assert np.array_equal(evaluate(graph, {"x": x})["y_Concat"], expected)


# -- folding ---------------------------------------------------------------------


def test_shape_arithmetic_folds(build: Build) -> None:
    """The classic flatten of PyTorch: Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n"], ["n1"], axes=[0]),
        node("Concat", ["n1", "minus"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"zero": np.array(0, np.int64), "minus": np.array([-1], np.int64)}
    graph = LOAD(build(nodes, {"x": ("N", 3, 2, 2)}, ["y"], constants, opset=11), batch=5)
    assert kinds(graph) == ["Input", "Reshape"]
    assert graph["y_Reshape"].type.shape == (5, 12)
    assert not graph.constants


def test_integer_division_rounds_towards_zero(build: Build) -> None:
    nodes = [
        node("Div", ["a", "b"], ["q"]),
        node("Neg", ["q"], ["p"]),
        node("Reshape", ["x", "p"], ["y"]),
    ]
    constants = {"a": np.array([-7, -9], np.int64), "b": np.array([3, 2], np.int64)}
    graph = LOAD(build(nodes, {"x": (8, 1)}, ["y"], constants))
    assert graph["y_Reshape"].type.shape == (2, 4)


def test_computed_weights_fold(build: Build) -> None:
    nodes = [
        node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        node("Mul", ["wt", "two"], ["w2"]),
        node("MatMul", ["x", "w2"], ["y"]),
    ]
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    graph = LOAD(build(nodes, {"x": (1, 2)}, ["y"], {"w": w, "two": np.array(2, np.float32)}))
    assert kinds(graph) == ["Input", "FullyConnected"]
    x = np.array([[1, 10]], np.float32)
    assert np.array_equal(evaluate(graph, {"x": x})["y_MatMul"], x @ w.T * 2)


def test_half_precision_becomes_fp32(build: Build) -> None:
    path = build(
        [node("Add", ["x", "b"], ["y"])],
        {"x": (1, 2)},
        ["y"],
        {"b": np.ones(2, np.float16)},
        dtype=TensorProto.FLOAT16,
    )
    graph = LOAD(path)
    assert graph.constants["b"].dtype == np.float32
    assert str(graph.inputs[0].type) == "fp32[1x2]"


@pytest.mark.parametrize("raw", [True, False])
def test_bfloat16_weights_become_fp32(build: Build, raw: bool) -> None:
    values = np.array([1.5, -2, 0.25], np.float32)
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [3], values.tolist())
    if raw:
        bits = (values.view(np.uint32) >> 16).astype("<u2")
        tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [3], bits.tobytes(), raw=True)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        node("Add", ["x", "f"], ["y"]),
    ]
    graph = LOAD(build(nodes, {"x": (1, 3)}, ["y"]))
    (weight,) = graph.constants.values()
    assert weight.dtype == np.float32 and np.array_equal(weight, values)


@pytest.mark.parametrize("code", [TensorProto.FLOAT8E4M3FN, TensorProto.INT4])
def test_small_element_types_as_data_are_refused(build: Build, code: int) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": (1, 4)}, ["y"], dtype=code)
    with pytest.raises(UnsupportedError):
        LOAD(path)


def test_whole_number_inputs_may_be_cast(build: Build) -> None:
    nodes = [node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), node("Relu", ["f"], ["y"])]
    path = build(nodes, {"x": (1, 2)}, ["y"], dtype=TensorProto.UINT8)
    graph = LOAD(path)
    x = np.array([[3, 200]], np.float32)
    want = OnnxFrontend().reference(path, {"x": x}, tensors=["y"])["y"]
    assert np.array_equal(evaluate(graph, {"x": x})["y_Relu"], want)


def test_arithmetic_on_whole_numbers_is_refused(build: Build) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": (1, 2)}, ["y"], dtype=TensorProto.INT32)
    with pytest.raises(UnsupportedError) as caught:
        LOAD(path)
    assert "int32" in caught.value.problems[0]


# -- refusals ------------------------------------------------------------------------


def test_all_unsupported_nodes_are_named_at_once(build: Build) -> None:
    nodes = [
        helper.make_node("RNN", ["x", "w", "r"], ["h"], name="rnn1", hidden_size=2),
        node("Relu", ["x"], ["a"]),
        node("Resize", ["a", "", "scales"], ["b"], mode="linear", antialias=1),
        node("AveragePool", ["b"], ["c"], kernel_shape=[2, 2], dilations=[2, 2]),
        node("FancyOp", ["c"], ["d"]),
        node("Hardmax", ["d"], ["e"]),
    ]
    constants = {
        "scales": np.array([1, 1, 2, 2], np.float32),
        "w": np.zeros((1, 8, 4), np.float32),
        "r": np.zeros((1, 8, 2), np.float32),
    }
    path = build(nodes, {"x": (1, 2, 4, 4)}, ["e", "h"], constants, opset=19)
    with pytest.raises(UnsupportedError) as caught:
        LOAD(path)
    text = str(caught.value)
    assert len(caught.value.problems) == 5, text
    for word in (
        "'rnn1'",
        "antialias",
        "dilations (2, 2)",
        "FancyOp 'd'",
        "Hardmax 'e'",
        "--outputs",
    ):
        assert word in text


def test_problems_are_in_the_order_of_the_file(build: Build) -> None:
    nodes = [
        node("Resize", ["x", "", "s"], ["a"], mode="linear", antialias=1),
        node("FancyOp", ["a"], ["b"]),
        node("Conv", ["x", "x"], ["c"]),
        node("Concat", ["b", "c"], ["d"], axis=1),
    ]
    path = build(nodes, {"x": (1, 2, 4, 4)}, ["d"], {"s": np.ones(4, np.float32)})
    with pytest.raises(UnsupportedError) as caught:
        LOAD(path)
    assert [p.partition(" ")[0] for p in caught.value.problems] == ["Resize", "FancyOp", "Conv"]
    assert "takes the weight from the data" in caught.value.problems[2]


def test_sparse_weights_are_refused(tmp_path: Path) -> None:
    model = make_model([node("Add", ["x", "w"], ["y"])], {"x": (1, 4)}, ["y"])
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [2])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="sparse"):
        LOAD(path)


def test_errors_of_layers_say_where_and_how_to_mend(build: Build) -> None:
    path = build([node("Add", ["x", "w"], ["y"])], {"x": (1, 3)}, ["y"], {"w": np.ones(7)})
    with pytest.raises(ModelError, match="cannot broadcast") as caught:
        LOAD(path)
    assert caught.value.where == f"{path}: Add 'y'"
    assert "--input-shape" in caught.value.fix


def test_unused_nodes_are_not_refused(build: Build) -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("FancyOp", ["x"], ["z"])]
    assert kinds(LOAD(build(nodes, {"x": (1, 2)}, ["y"]))) == ["Input", "Relu"]


def test_unknown_attribute_is_refused(build: Build) -> None:
    path = build([node("Relu", ["x"], ["y"], sharpness=2)], {"x": (1, 2)}, ["y"])
    with pytest.raises(UnsupportedError, match="sharpness"):
        LOAD(path)


def test_second_output_of_max_pool(build: Build) -> None:
    pool = node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])
    unused = build([pool], {"x": (1, 1, 4, 4)}, ["y"])
    assert kinds(LOAD(unused)) == ["Input", "MaxPool2d"]
    with pytest.raises(UnsupportedError, match="output i"):
        LOAD(build([pool], {"x": (1, 1, 4, 4)}, ["y", "i"]))
    with pytest.raises(UnsupportedError, match="output i"):
        LOAD(build([pool, node("Cast", ["i"], ["z"], to=1)], {"x": (1, 1, 4, 4)}, ["y", "z"]))
    with pytest.raises(UnsupportedError, match="output i"):
        LOAD(unused, outputs=["i"])


@pytest.mark.parametrize("opset", [6, 29, 1000])
def test_opsets_out_of_range(build: Build, opset: int) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": (1, 2)}, ["y"], opset=opset)
    with pytest.raises(UnsupportedError, match=f"opset {opset}"):
        LOAD(path)


def test_foreign_domains_are_refused_by_name(build: Build) -> None:
    fancy = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(UnsupportedError, match=r"com\.microsoft\.Gelu"):
        LOAD(build([fancy], {"x": (1, 2)}, ["y"]))


def test_weight_option_is_refused(build: Build) -> None:
    path = build([node("Relu", ["x"], ["y"])], {"x": (1, 2)}, ["y"])
    with pytest.raises(InputError, match="no separate weight file"):
        LOAD(path, weights=path)


# -- the plugin -----------------------------------------------------------------------


def test_plugin_gives_what_the_protocols_ask_for() -> None:
    (frontend,) = plugin.cvi_register_frontends()
    (executor,) = plugin.cvi_register_executors()
    assert isinstance(frontend, Frontend) and frontend.name == "onnx"
    assert isinstance(executor, Executor) and executor.name == "onnxruntime"
    assert "Conv" in plugin.cvi_register_converters("onnx")
    assert not plugin.cvi_register_converters("caffe")


def test_converters_of_other_plugins_are_used(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvi import ops, plugins
    from cvi_frontend_onnx.node import Node
    from cvi_frontend_onnx.values import Value

    def fancy(node: Node) -> Value:
        return node.emit(ops.LeakyRelu(name=node.layer, slope=0.5), node.operand(0))

    monkeypatch.setattr(plugins, "converters", lambda frontend: {"my.domain.Fancy": fancy})
    one = helper.make_node("Fancy", ["x"], ["y"], domain="my.domain")
    graph = LOAD(build([one], {"x": (1, 2)}, ["y"]))
    assert [op.name for op in graph] == ["x", "y_Fancy"]


def test_import_is_cheap() -> None:
    """Registering the plugin imports neither onnx nor onnxruntime."""
    import subprocess
    import sys

    code = (
        "import sys; from cvi_frontend_onnx import plugin; plugin.cvi_register_frontends(); "
        "plugin.cvi_register_executors(); "
        "sys.exit(any(m in sys.modules for m in ('onnx', 'onnxruntime')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- reference -----------------------------------------------------------------------------


def test_reference_gives_every_tensor(build: Build) -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("Neg", ["a"], ["b"])]
    path = build(nodes, {"x": ("N", "C")}, ["b"])
    x = np.array([[-1, 2, 3]], np.float32)
    found = OnnxFrontend().reference(path, {"x": x})
    assert sorted(found) == ["a", "b"]
    assert np.array_equal(found["b"], -np.maximum(x, 0))
    some = OnnxFrontend().reference(path, {"x": x}, tensors=["a", "x"])
    assert sorted(some) == ["a", "x"]


def test_reference_checks_its_names(build: Build) -> None:
    path = build([node("Relu", ["x"], ["a"])], {"x": (1, 3)}, ["a"])
    x = np.zeros((1, 3), np.float32)
    with pytest.raises(InputError, match="no tensor q"):
        OnnxFrontend().reference(path, {"x": x}, tensors=["q"])
    with pytest.raises(InputError, match="inputs are x"):
        OnnxFrontend().reference(path, {"data": x})


def test_reference_reports_what_onnxruntime_refuses(build: Build) -> None:
    path = build([node("MatMul", ["x", "x"], ["a"])], {"x": (2, 3)}, ["a"])
    with pytest.raises(ModelError, match="onnxruntime"):
        OnnxFrontend().reference(path, {"x": np.zeros((2, 3), np.float32)})


# -- external data --------------------------------------------------------------------------


def external(tmp_path: Path, location: str, **extra: str) -> Path:
    model = make_model(
        [node("Add", ["x", "w"], ["y"])],
        {"x": (1, 4)},
        ["y"],
        {"w": np.arange(4, dtype=np.float32)},
    )
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **extra}.items():
        tensor.external_data.add(key=key, value=value)
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_weights_are_mapped_not_copied(tmp_path: Path) -> None:
    path = external(tmp_path, "w.bin", offset="8", length="16")
    values = np.array([9, 9, 1, 2, 3, 4], np.float32)
    (path.parent / "w.bin").write_bytes(values.tobytes())
    graph = LOAD(path)
    assert graph.constants["w"].tolist() == [1, 2, 3, 4]
    assert isinstance(graph.constants["w"], np.memmap)
    x = np.ones((1, 4), np.float32)
    found = OnnxFrontend().reference(path, {"x": x})
    assert np.array_equal(found["y"], x + values[2:])


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "", "a/../../w.bin", "..\\w.bin"])
def test_external_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(16))
    path = external(tmp_path, location)
    with pytest.raises(ModelError, match="outside its own folder"):
        LOAD(path)
    with pytest.raises(ModelError, match="outside its own folder"):
        OnnxFrontend().reference(path, {"x": np.ones((1, 4), np.float32)})


def test_external_weights_behind_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    path = external(tmp_path, "w.bin")
    (path.parent / "w.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ModelError, match="leads out"):
        LOAD(path)


@pytest.mark.parametrize(
    "extra", [{"offset": "4"}, {"length": "12"}, {"offset": "-4"}, {"length": "9" * 30}]
)
def test_external_weights_of_a_wrong_size(tmp_path: Path, extra: dict[str, str]) -> None:
    path = external(tmp_path, "w.bin", **extra)
    (path.parent / "w.bin").write_bytes(bytes(16))
    with pytest.raises(ModelError):
        LOAD(path)


def test_missing_external_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        LOAD(external(tmp_path, "w.bin"))


def test_onnx_is_as_new_as_the_tests_think() -> None:
    assert onnx.defs.onnx_opset_version() >= 20
