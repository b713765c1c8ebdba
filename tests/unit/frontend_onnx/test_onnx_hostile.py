"""Broken and hostile files: one clear error, quickly, or success; never anything else."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper
from onnx_models import Build, make_model, node

from cvi.errors import CviError, InputError, ModelError, UnsupportedError
from cvi_frontend_onnx.frontend import OnnxFrontend
from mutants import ANY_FORMAT, onnx_changed

LOAD = OnnxFrontend().load
ACCEPTS = OnnxFrontend().accepts

CONTENTS = {
    "html": (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "LFS"),
    "empty": (b"", "empty"),
    "zip": (b"PK\x03\x04rest", "zip"),
    "gzip": (b"\x1f\x8brest", "gzip"),
    "text": (b"hello, I am not a model", "not an ONNX model"),
    "zeros": (bytes(1000), "not an ONNX model|no ONNX graph"),
    "only_version": (b"\x08\x08", "no ONNX graph"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_other_files_are_called_by_their_name(tmp_path: Path, name: str) -> None:
    content, why = CONTENTS[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=why) as caught:
        LOAD(path)
    assert str(path) in caught.value.where and caught.value.fix


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        LOAD(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="folder"):
        LOAD(tmp_path)
    assert not ACCEPTS(tmp_path)


# -- recognition ------------------------------------------------------------------


def small() -> ModelProto:
    return make_model([node("Relu", ["x"], ["y"])], {"x": (1, 2)}, ["y"])


def test_models_are_recognised_without_their_suffix(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(small().SerializeToString())
    assert ACCEPTS(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"name: 'net'\nlayer {}", b"\x0a\x03net" * 9, bytes(64), b"\x1c\0\0\0TFL3" + bytes(64)],
    ids=["empty", "prototxt", "caffemodel", "zeros", "tflite"],
)
def test_other_formats_are_not_claimed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    assert not ACCEPTS(path)


def test_caffe_and_tflite_models_are_not_claimed(shared: Path) -> None:
    files = [*shared.glob("models/caffe/*/*.caffemodel"), *shared.glob("models/tflite/*/*.tflite")]
    assert len(files) > 10
    assert not [f for f in files if ACCEPTS(f)]


# -- structure ----------------------------------------------------------------------


def conv_model() -> ModelProto:
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("BatchNormalization", ["a", "b", "b", "b", "b"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["p"], ["s"]),
        node("Gather", ["s", "zero"], ["n0"]),
        node("Unsqueeze", ["n0"], ["n1"], axes=[0]),
        node("Concat", ["n1", "minus"], ["t"], axis=0),
        node("Reshape", ["p", "t"], ["f"]),
        node("Gemm", ["f", "g"], ["y"], transB=1),
    ]
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "b": np.ones(4, np.float32),
        "zero": np.array(0, np.int64),
        "minus": np.array([-1], np.int64),
        "g": rng.normal(size=(5, 64)).astype(np.float32),
    }
    return make_model(nodes, {"x": ("N", 3, 8, 8)}, ["y"], constants, opset=11)


def shape_model() -> ModelProto:
    nodes = [
        node("ConstantOfShape", ["size"], ["z"]),
        node("Concat", ["pads", "z"], ["all"], axis=0),
        node("Cast", ["all"], ["ints"], to=7),
        node("Pad", ["x", "ints"], ["p"], mode="reflect"),
        node("Range", ["r0", "r1", "r2"], ["axes"]),
        node("Slice", ["p", "r2v", "end", "axes"], ["s"]),
        node("Tile", ["s", "reps"], ["t"]),
        node("Expand", ["t", "big"], ["e"]),
        node("Resize", ["e", "roi", "scales"], ["y"], mode="linear"),
    ]
    constants = {
        "size": np.array([6], np.int64),
        "pads": np.array([0, 0], np.float32),
        "r0": np.array(2, np.int64),
        "r1": np.array(4, np.int64),
        "r2": np.array(1, np.int64),
        "r2v": np.array([1, 1], np.int64),
        "end": np.array([5, 6], np.int64),
        "reps": np.array([1, 2, 1, 1], np.int64),
        "big": np.array([1, 4, 4, 5], np.int64),
        "roi": np.zeros(0, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    return make_model(nodes, {"x": (1, 2, 7, 7)}, ["y"], constants, opset=13)


def deep_model() -> ModelProto:
    nodes = [
        node("Split", ["x"], ["a", "b"], axis=1),
        node("ConvTranspose", ["a", "w"], ["c"], strides=[2, 2], output_padding=[1, 1]),
        node("Upsample", ["b", "scales"], ["d"]),
        node("Softmax", ["d"], ["e"]),
        node("Clip", ["c"], ["f"], min=0.0, max=6.0),
        node("ReduceMean", ["f"], ["g"], axes=[2, 3]),
        node("Mul", ["e", "g"], ["h"]),
        node("Transpose", ["h"], ["i"], perm=[0, 2, 3, 1]),
        node("Squeeze", ["g"], ["j"], axes=[2, 3]),
        node("MatMul", ["i", "m"], ["y"]),
    ]
    constants = {
        "w": np.ones((2, 2, 2, 2), np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "m": np.ones((2, 3), np.float32),
    }
    return make_model(nodes, {"x": (1, 4, 4, 4)}, ["y", "j"], constants, opset=9)


def broken(change: Callable[[ModelProto], None], tmp_path: Path) -> Path:
    model = conv_model()
    change(model)
    path = tmp_path / "broken.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_the_models_themselves_load(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    for make in (conv_model, shape_model, deep_model):
        path.write_bytes(make().SerializeToString())
        assert LOAD(path).ops


def _cycle(model: ModelProto) -> None:
    model.graph.node[2].input[0] = "p"


def _missing_initializer(model: ModelProto) -> None:
    del model.graph.initializer[0]


def _twice(model: ModelProto) -> None:
    model.graph.node[2].output[0] = "a"


def _no_shape(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def _sequence(model: ModelProto) -> None:
    model.graph.input[0].type.CopyFrom(
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1]))
    )


def _huge_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40


def _huge_weight(model: ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 2**50


def _negative_dim(model: ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -4


def _short_weight(model: ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"abc"


def _strange_type(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = 77


def _string_type(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = 8


def _wrong_attribute(model: ModelProto) -> None:
    model.graph.node[0].attribute[0].type = 1


def _control_characters(model: ModelProto) -> None:
    model.graph.node[3].output[0] = "a\nb\0"


def _no_output(model: ModelProto) -> None:
    del model.graph.output[:]


def _wrong_stride(model: ModelProto) -> None:
    model.graph.node[3].attribute[1].ints[0] = 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_cycle, "cycle"),
        (_missing_initializer, "nothing produces the tensor 'w'"),
        (_twice, "two nodes compute"),
        (_no_shape, "no shape"),
        (_sequence, "sequence"),
        (_huge_input, "limit"),
        (_huge_weight, "limit"),
        (_negative_dim, "limit"),
        (_short_weight, "should have 432 bytes but has 3"),
        (_strange_type, "unknown element type 77"),
        (_string_type, "string"),
        (_wrong_attribute, "'kernel_shape' is not of the type"),
        (_control_characters, "printable"),
        (_no_output, "no output"),
        (_wrong_stride, "positive"),
    ],
)
def test_broken_structure(change: Callable[[ModelProto], None], why: str, tmp_path: Path) -> None:
    with pytest.raises((ModelError, UnsupportedError), match=why) as caught:
        LOAD(broken(change, tmp_path))
    assert "broken.onnx" in caught.value.where


@pytest.mark.parametrize(
    ("op", "constants"),
    [
        ("ConstantOfShape", [np.array([2**20, 2**20], np.int64)]),
        ("Range", [np.array(0, np.int64), np.array(2**60, np.int64), np.array(1, np.int64)]),
        ("Tile", [np.ones((9, 9), np.float32), np.array([2**20, 2**20], np.int64)]),
        ("Expand", [np.ones(1, np.float32), np.array([2**20, 2**20], np.int64)]),
        ("Add", [np.ones((2**16, 1), np.float32), np.ones((1, 2**16), np.float32)]),
        ("MatMul", [np.ones((2**16, 1), np.float32), np.ones((1, 2**16), np.float32)]),
        ("MatMul", [np.ones((2**16, 1), np.int64), np.ones((1, 2**16), np.int64)]),
        ("Gather", [np.ones((1, 2**16), np.float32), np.zeros(2**16, np.int64)]),
    ],
)
def test_absurd_constants_are_not_computed(build: Build, op: str, constants: list[Any]) -> None:
    names = {f"c{i}": c for i, c in enumerate(constants)}
    nodes = [node(op, list(names), ["k"]), node("Add", ["x", "k"], ["y"])]
    start = time.monotonic()
    with pytest.raises(ModelError, match="limit"):
        LOAD(build(nodes, {"x": (1, 1)}, ["y"], names))
    assert time.monotonic() - start < 5


def test_many_large_constants_have_one_budget(build: Build) -> None:
    """No single constant is too large, but all of them together are."""
    nodes = [node("ConstantOfShape", ["s"], [f"k{i}"]) for i in range(100)]
    nodes.append(node("Sum", [f"k{i}" for i in range(100)], ["k"]))
    nodes.append(node("Add", ["x", "k"], ["y"]))
    with pytest.raises(ModelError, match="limit"):
        LOAD(build(nodes, {"x": (1, 1)}, ["y"], {"s": np.array([1 << 22], np.int64)}))


def test_long_chains_do_not_recurse(build: Build) -> None:
    nodes = [node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(5000)]
    graph = LOAD(build(nodes[::-1], {"t0": (1, 2)}, ["t5000"]))
    assert len(graph.ops) == 5001


# -- mutations ----------------------------------------------------------------------------


MUTATIONS = (*ANY_FORMAT, onnx_changed, onnx_changed, onnx_changed)
MUTANTS = 500
SECONDS_EACH = 3.0


def test_mutants_load_or_fail_clearly(tmp_path: Path) -> None:
    rng = random.Random(20)
    originals = [make().SerializeToString() for make in (conv_model, shape_model, deep_model)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / "mutant.onnx"
    results = {"loaded": 0, "refused": 0}
    for i in range(MUTANTS):
        mutate = rng.choice(MUTATIONS)
        path.write_bytes(mutate(originals[i % 3], rng))
        start = time.monotonic()
        ACCEPTS(path)
        try:
            LOAD(path)
            results["loaded"] += 1
        except CviError as error:
            results["refused"] += 1
            assert error.where and str(error)
        assert time.monotonic() - start < SECONDS_EACH, (i, mutate.__name__)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1 << 20  # KiB
    assert min(results.values()) > 50, results


def test_mutation_is_not_vacuous() -> None:
    """Field-level mutants are still protocol buffers that onnx can parse."""
    rng = random.Random(1)
    data = conv_model().SerializeToString()
    mutants = {onnx_changed(data, rng) for _ in range(50)}
    assert len(mutants) > 30
    assert all(onnx.ModelProto.FromString(m) is not None for m in mutants)
