"""Saving and loading graphs: exact round trips, hostile files."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from graphs import int8_input, small_net

from cvi.calibrate.table import Threshold
from cvi.errors import CviError, InputError, ModelError
from cvi.ir import Array, Graph, Op, TensorType
from cvi.ir.storage import brings_thresholds, is_graph_file, load, save
from cvi.ir.weights import read_weights, weights_path, write_weights
from cvi.ops import Clip, Concat, Pad, Relu
from mutants import json_changed


class Rounding(Enum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Nested:
    pair: tuple[int, float]
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class ThirdPartyQuantised(Op):
    """An op with every kind of attribute."""

    rounding: Rounding = Rounding.UP
    nested: Nested | None = None
    numbers: tuple[int, ...] = ()
    table: tuple[tuple[float, ...], ...] = ()
    form: Literal["a", "b"] = "a"
    factor: float = 1.0
    flag: bool = False

    def infer(self, inputs: object) -> TensorType:
        return TensorType((2, 2), scale=0.1 + 0.2)


def same_graph(a: Graph, b: Graph) -> bool:
    return (
        (a.name, a.ops, a.outputs) == (b.name, b.ops, b.outputs)
        and a.constants.keys() == b.constants.keys()
        and all(
            np.array_equal(v, b.constants[k]) and v.dtype == b.constants[k].dtype
            for k, v in a.constants.items()
        )
    )


def test_round_trip(tmp_path):
    graph = small_net()
    save(graph, tmp_path / "net.cvi.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.cvi.json", "net.safetensors"]
    assert same_graph(load(tmp_path / "net.cvi.json"), graph)
    assert is_graph_file(tmp_path / "net.cvi.json")
    assert not is_graph_file(tmp_path / "net.safetensors")
    assert not is_graph_file(tmp_path / "missing")


def test_round_trip_of_thresholds(tmp_path):
    graph = small_net()
    save(graph, tmp_path / "a.cvi.json")
    assert not brings_thresholds(tmp_path / "a.cvi.json")
    graph.thresholds = {"conv": Threshold(1.5, -1.5, 1.25), "gone": Threshold(2.0, 0.0, 2.0)}
    save(graph, tmp_path / "b.cvi.json")
    assert brings_thresholds(tmp_path / "b.cvi.json")
    assert load(tmp_path / "b.cvi.json").thresholds == graph.thresholds


def test_round_trip_of_every_kind_of_attribute(tmp_path):
    graph = Graph("näme", constants={"t": np.zeros((0, 3), np.int64), "s": np.array(3, np.uint16)})
    graph.constants["b"] = np.array([True, False])
    graph.add(int8_input("x", (2, 3), 0.1))
    graph.add(Concat(name="cat", inputs=("x", "x"), axis=1, source="ünïcode"))
    graph.add(Pad(name="pad", inputs=("cat",), before=(0, 0), after=(1, 2), value=float("-inf")))
    graph.add(
        ThirdPartyQuantised(
            name="q", inputs=("pad", ""), rounding=Rounding.DOWN, numbers=(1, -2, 2**40),
            nested=Nested((1, 0.1), "n"), table=((0.1, float("inf")), ()), form="b",
            factor=1 / 3, flag=True,
        )
    )  # fmt: skip
    graph.add(ThirdPartyQuantised(name="r"))
    graph.outputs = ("q", "b")
    save(graph, tmp_path / "g.json")
    assert same_graph(load(tmp_path / "g.json"), graph)


def test_same_graph_same_bytes_and_mapped_constants(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(small_net(), tmp_path / name / "net.cvi.json")
    for file in ("net.cvi.json", "net.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    constant = load(tmp_path / "a" / "net.cvi.json").constants["w"]
    assert not constant.flags.writeable and not constant.flags.owndata
    base: object = constant
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_saved_graph_may_be_saved_over_itself(tmp_path):
    path = tmp_path / "net.cvi.json"
    save(small_net(), path)
    loaded = load(path)
    save(loaded, path)
    assert same_graph(load(path), small_net())


def test_weights_are_plain_safetensors(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    save(small_net(), tmp_path / "net.cvi.json")
    theirs = numpy.load_file(tmp_path / "net.safetensors")
    assert all(np.array_equal(theirs[k], v) for k, v in small_net().constants.items())
    numpy.save_file({"x": np.arange(6, dtype=np.int16).reshape(2, 3)}, tmp_path / "x.safetensors")
    arrays, digest = read_weights(tmp_path / "x.safetensors")
    assert arrays["x"].tolist() == [[0, 1, 2], [3, 4, 5]] and digest == ""


@pytest.mark.parametrize(
    ("name", "weights"),
    [("a.cvi.json", "a.safetensors"), ("b.json", "b.safetensors"), ("c", "c.safetensors"),
     ("d.v2.json", "d.v2.safetensors"), (".json", ".json.safetensors")],
)  # fmt: skip
def test_weights_path(name, weights):
    assert weights_path(Path("x") / name) == Path("x") / weights


def test_a_failed_save_leaves_no_file_and_the_old_ones(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        save(small_net(), tmp_path / "no" / "net.cvi.json")
    graph = small_net()
    graph.constants["w"] = graph.constants["w"].astype(np.float16)
    with pytest.raises(TypeError):
        save(graph, tmp_path / "net.cvi.json")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(tmp_path):
    save(small_net(), tmp_path / "net.cvi.json")
    return tmp_path / "net.cvi.json"


def edited(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def op_of(document, name):
    return next(op for op in document["ops"] if op["name"] == name)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.update(format="other"), "not a graph file"),
        (lambda d: d.update(version=2), "version 2"),
        (lambda d: d.update(extra=1), "keys are missing or unknown"),
        (lambda d: d.pop("ops"), "keys are missing"),
        (lambda d: d.update(ops={}), "list of layers is broken"),
        (lambda d: d.update(name=5), "not of type str"),
        (lambda d: d.update(thresholds=[]), "thresholds are broken"),
        (lambda d: d.update(thresholds={"conv": [1.0, 2.0]}), "2 entries instead of 3"),
        (lambda d: d.update(thresholds={"conv": [0.0, 0.0, 0.0]}), "not positive"),
        (lambda d: d.update(thresholds={"conv": ["x", 0.0, 0.0]}), "not of type float"),
        (lambda d: d.update(outputs=["nothing"]), "produced by no layer"),
        (lambda d: d.update(outputs="fc"), "not a list"),
        (lambda d: d.update(weights="../net.safetensors"), "next to the graph file"),
        (lambda d: d.update(weights="/etc/passwd"), "next to the graph file"),
        (lambda d: d.update(weights="a\\b"), "next to the graph file"),
        (lambda d: d.update(weights="a\0"), "next to the graph file"),
        (lambda d: d.update(weights="absent.safetensors"), "does not exist"),
        (lambda d: d.update(digest="0" * 32), "belongs to another graph"),
        (lambda d: op_of(d, "conv").update(kind="Conv2e"), "did you mean"),
        (lambda d: op_of(d, "conv").update(kind=[]), "not of type str"),
        (lambda d: op_of(d, "conv").update(name="data"), "same name"),
        (lambda d: op_of(d, "conv").update(name="w"), "empty or taken"),
        (lambda d: op_of(d, "conv").update(inputs=["later", "w", ""]), "nothing produces"),
        (lambda d: op_of(d, "conv").update(inputs=["fc", "w", ""]), "nothing produces"),
        (lambda d: op_of(d, "conv")["attributes"].update(group=1.0), "group: 1.0 is not of type"),
        (lambda d: op_of(d, "conv")["attributes"].update(group=True), "is not of type int"),
        (lambda d: op_of(d, "conv")["attributes"].update(group=2**63), "is not of type int"),
        (lambda d: op_of(d, "conv")["attributes"].update(relu=1), "is not of type bool"),
        (lambda d: op_of(d, "conv")["attributes"].update(pads=[1, 1]), "2 entries instead of 4"),
        (lambda d: op_of(d, "conv")["attributes"].update(type=1), "no attribute 'type'"),
        (lambda d: op_of(d, "conv")["attributes"].update(pad_value="x"), "not of type float"),
        (lambda d: op_of(d, "conv")["attributes"].update(relu_max=[]), "float or null"),
        (lambda d: op_of(d, "conv")["attributes"].update(stride=[0, 1]), "stride must be positive"),
        (lambda d: op_of(d, "conv")["attributes"].update(stride=[2, 2]), "the layer gives"),
        (lambda d: op_of(d, "conv")["type"].update(dtype="fp17"), "not one of fp32"),
        (lambda d: op_of(d, "conv")["type"].update(shape=[1, 0]), "cannot be"),
        (lambda d: op_of(d, "data")["type"].update(shape=[1 << 40]), "cannot be"),
        (lambda d: op_of(d, "pool")["attributes"].pop("kernel"), "'kernel' is missing"),
        (lambda d: op_of(d, "data")["attributes"].update(preprocess=3), "Preprocess or null"),
        (
            lambda d: op_of(d, "data")["attributes"]["preprocess"].update(evil=1),
            "Preprocess or null",
        ),
    ],
)  # fmt: skip
def test_broken_documents(saved, change, why):
    with pytest.raises(ModelError, match=why) as error:
        load(edited(saved, change))
    assert error.value.where


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": "cvi-graph"}',
     b'{"format": "cvi-graph", "version": ' + b"9" * 10_000 + b"}"],
)  # fmt: skip
def test_files_that_are_no_graphs(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ModelError):
        load(tmp_path / "x")


def test_paths_that_are_no_files(tmp_path, saved):
    for path in (tmp_path, tmp_path / "absent", tmp_path / "a\0b"):
        with pytest.raises(ModelError):
            load(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path, saved):
    folder = tmp_path / "inner"
    folder.mkdir()
    shutil.copy(saved, folder)
    (folder / "net.safetensors").symlink_to(tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match="another folder"):
        load(folder / "net.cvi.json")


def safetensors(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a safetensors"),
        (b"\xff" * 8, "not a safetensors"),
        (safetensors(b"{]"), "header .* broken"),
        (safetensors(b"[" * 50_000), "header .* broken"),
        (safetensors([]), "no table"),
        (safetensors({"a": 1}), "entry of the tensor"),
        (safetensors({"a": {**ENTRY, "dtype": "F8"}}, b"1234"), "'F8' is not known"),
        (safetensors({"a": {**ENTRY, "shape": [-1]}}, b"1234"), "are broken"),
        (safetensors({"a": {**ENTRY, "shape": [True]}}, b"1234"), "are broken"),
        (safetensors({"a": {**ENTRY, "shape": [2]}}, b"1234"), "does not fit its shape"),
        (safetensors({"a": {**ENTRY, "shape": [1] * 70}}, b"1234"), "are broken"),
        (safetensors({"a": {**ENTRY, "shape": [1 << 61] * 30}}, b"1234"), "does not fit"),
        (safetensors({"a": {**ENTRY, "data_offsets": [4, 0]}}, b"1234"), "ends before"),
        (safetensors({"a": {**ENTRY, "data_offsets": [4, 8]}}, b"12345678"), "gap"),
        (safetensors({"a": ENTRY, "b": ENTRY}, b"1234"), "overlap"),
        (safetensors({"a": ENTRY}, b"123"), "does not fit"),
        (safetensors({"a": ENTRY}, b"12345"), "longer than its tensors"),
        (
            safetensors({"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}, b"\2"),
            "neither 0 nor 1",
        ),
    ],
)  # fmt: skip
def test_broken_weight_files(tmp_path, data, why):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=why):
        read_weights(path)


def test_empty_weight_file(tmp_path):
    write_weights(tmp_path / "w", {})
    assert read_weights(tmp_path / "w")[0] == {}


def test_mutants_give_a_graph_or_one_error(tmp_path, saved):
    """500 mutants of the two files: each loads, or is refused with a place and a reason."""
    rng = random.Random(20)
    weights = weights_path(saved)
    originals = {saved: saved.read_bytes(), weights: weights.read_bytes()}
    loaded = 0
    for _ in range(500):
        victim = rng.choice([saved, saved, weights])
        victim.write_bytes(json_changed(originals[victim], rng))
        try:
            graph = load(saved)
            loaded += 1
            graph.check()
        except CviError as error:
            assert isinstance(error, ModelError) and error.where and error.why
        victim.write_bytes(originals[victim])
    assert 0 < loaded < 400


@dataclass(frozen=True, kw_only=True)
class Careless(Op):
    """A third party's op that does not check its operands."""

    def infer(self, inputs: object) -> TensorType:
        return inputs[7]  # type: ignore[index,no-any-return]

    def evaluate(self, *inputs: Array | None) -> Array:
        raise AssertionError


def test_a_careless_op_is_a_model_error(saved):
    def change(document):
        op_of(document, "relu").update(kind="Careless", attributes={})

    with pytest.raises(ModelError, match="not valid"):
        load(edited(saved, change))


def test_float_attributes_take_whole_numbers(saved):
    def change(document):
        op_of(document, "relu").update(kind="Clip", attributes={"minimum": 0, "maximum": "inf"})

    loaded = load(edited(saved, change))["relu"]
    assert isinstance(loaded, Clip) and loaded.maximum == float("inf")
    assert not isinstance(loaded, Relu) and isinstance(loaded.minimum, float)
