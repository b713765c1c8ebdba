"""A small network of tokens, from its file to a verified program: indices as a network input
beside a float one, rows of tables, attention, and the position of the largest result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import cvi
from chips import CHIPS
from cvi.errors import UnsupportedError
from cvi.ir import Array, DType
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.chip import ChipSpec
from cvi_tpu.model import read_file
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

WORDS, WIDTH, TOKENS, HEADS = 300, 32, 10, 4
RNG = np.random.default_rng(0)


def weights(*shape: int) -> Array:
    return (RNG.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def attention() -> list[onnx.NodeProto]:
    """Heads of x, each token mixed with those that are like it."""
    make = helper.make_node
    nodes = []
    for name, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            make("MatMul", ["x", f"w{name}"], [f"{name}0"]),
            make("Reshape", [f"{name}0", "heads"], [f"{name}1"]),
            make("Transpose", [f"{name}1"], [name], perm=order),
        ]
    return [
        *nodes,
        make("MatMul", ["q", "k"], ["scores"]),
        make("Mul", ["scores", "third"], ["scaled"]),
        make("Softmax", ["scaled"], ["shares"], axis=-1),
        make("MatMul", ["shares", "v"], ["mixed"]),
        make("Transpose", ["mixed"], ["turned"], perm=[0, 2, 1, 3]),
        make("Reshape", ["turned", "rows"], ["y"]),
    ]


def tokens(path: Path) -> Path:
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["word"]),
        helper.make_node("Add", ["word", "place"], ["x"]),
        *attention(),
        helper.make_node("MatMul", ["y", "out"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["next"], axis=-1, keepdims=0),
    ]
    constants = {
        "words": weights(WORDS, WIDTH) * 17, "out": weights(WIDTH, WORDS),
        **{f"w{name}": weights(WIDTH, WIDTH) for name in "qkv"},
        "heads": np.array([1, TOKENS, HEADS, WIDTH // HEADS]),
        "rows": np.array([1, TOKENS, WIDTH]), "third": np.array(0.35, np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "tokens",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [1, TOKENS]),
            helper.make_tensor_value_info("place", TensorProto.FLOAT, [1, TOKENS, WIDTH]),
        ],
        [helper.make_tensor_value_info("next", TensorProto.INT64, [1, TOKENS])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    onnx.save(helper.make_model(graph, ir_version=8), path)
    return path


def sample(path: Path) -> Path:
    ids = RNG.integers(0, WORDS, (1, TOKENS))
    np.savez(path, ids=ids, place=RNG.standard_normal((1, TOKENS, WIDTH)).astype(np.float32))
    return path


def converted(chip: str, folder: Path) -> tuple[cvi.Conversion, dict[str, Array]]:
    files = [sample(folder / f"{i}.npz") for i in range(4)]  # the network's data set
    conversion = cvi.convert(
        tokens(folder / "tokens.onnx"),
        folder / "tokens.cvimodel",
        chip=chip,
        dataset=folder,
        images=(files[0],),
    )
    with np.load(files[1]) as loaded:
        return conversion, dict(loaded)


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize("spec", [s for s in CHIPS if s.has_cpu_functions], ids=lambda s: s.name)
def test_a_network_of_tokens(spec: ChipSpec, tmp_path: Path) -> None:
    conversion, fed = converted(spec.name, tmp_path)
    assert conversion.graph["ids"].type.dtype is DType.INT32
    (name,) = conversion.graph.outputs
    model = read_file(conversion.path)
    ours = Runtime(model, spec=spec).run(fed)[name]
    assert ours.shape == (1, TOKENS, 1, 1)
    assert (ours == np.floor(ours)).all() and ours.max() < WORDS and len(set(ours.ravel())) > 3
    theirs = VendorRunner().run(conversion.path, fed, timeout=60)[name]
    np.testing.assert_array_equal(ours, theirs)


def test_a_chip_without_cpu_functions_names_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        converted("cv180x", tmp_path)
    names = [problem.split()[0] for problem in caught.value.problems]
    assert names == ["word_Gather", "shares_Softmax", "next_ArgMax"]
