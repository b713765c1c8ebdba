"""Networks of matrix products with int8 weights, from the model file to the vendor's bytes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from benchmarks.verify import Tally, on_vendor
from onnx import TensorProto, helper, numpy_helper

import cvi
from chips import CHIPS, each_chip
from cvi.cli import main
from cvi.compare import compare_tensors
from cvi.execute import evaluate
from cvi.ir import Array, Graph, storage
from cvi_tpu.chip import ChipSpec
from cvi_tpu.model import read_file
from cvi_tpu.quantized.ops import Bf16Conv2d
from cvi_tpu.runtime import Runtime
from vendor_here import VENDOR

IMAGE = (1, 2, 6, 6)
SIZES = (72, 256, 128, 10)


def save_network(path: Path) -> None:
    """A convolution, three fully connected layers, and a constant matrix on the left."""
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["c"], ["f0"]),
    ]
    weights = {"k": rng.normal(size=(2, 2, 3, 3)) * 0.3}
    for i, (k, n) in enumerate(pairwise(SIZES)):
        weights |= {f"w{i}": rng.normal(size=(n, k)) / k**0.5, f"b{i}": rng.normal(size=n)}
        gemm = helper.make_node("Gemm", [f"f{i}", f"w{i}", f"b{i}"], [f"g{i}"], transB=1)
        nodes += [gemm, helper.make_node("Relu", [f"g{i}"], [f"f{i + 1}"])]
    weights["m"] = rng.normal(size=(5, 10)) + 3
    nodes += [
        helper.make_node("Transpose", ["f3"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["m", "t"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (5, 1))],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """The model file; beside it x.npz, an input."""
    save_network(tmp_path / "net.onnx")
    x = np.random.default_rng(6).normal(size=IMAGE).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    return tmp_path / "net.onnx"


def x_of(network: Path) -> dict[str, Array]:
    with np.load(network.with_name("x.npz")) as arrays:
        return dict(arrays)


def convert(network: Path, chip: str, quant: str, **options: object) -> cvi.Conversion:
    image = network.with_name("x.npz")
    target = network.with_name(f"{quant}.cvimodel")
    return cvi.convert(network, target, chip=chip, quant=quant, images=(image,), **options)


def mixed_layers(graph: Graph) -> list[str]:
    """Layers whose weights are int8 in a BF16 product."""
    return [op.name for op in graph.ops if isinstance(op, Bf16Conv2d) and op.is_mixed]


def compare_with_vendor(program: Path, x: dict[str, Array]) -> None:
    """Every kept tensor, byte for byte."""
    if VENDOR:
        tally, ours = Tally(), Runtime(read_file(program)).run(x, all_tensors=True)
        tally.compare("net", ours, on_vendor(program, x))
        assert not tally.problems and tally.bytes > 0


@each_chip
def test_every_tensor_is_the_vendors(spec: ChipSpec, network: Path) -> None:
    conversion = convert(network, spec.name, "mix_bf16", keep_tensors=True)
    assert len(mixed_layers(conversion.quantised)) == 4
    x = x_of(network)
    ours = Runtime(read_file(conversion.path)).run(x, all_tensors=True)
    want = evaluate(conversion.graph, x)["y_MatMul"]
    got = ours["y_MatMul_dequant"].reshape(want.shape)
    assert compare_tensors(got, want).cosine > 0.9995
    compare_with_vendor(conversion.path, x)


def test_weights_take_half_the_room(network: Path) -> None:
    sizes = {
        quant: convert(network, "cv183x", quant).path.stat().st_size
        for quant in ("bf16", "mix_bf16")
    }
    products = sum(k * n for k, n in pairwise(SIZES))
    assert sizes["bf16"] - sizes["mix_bf16"] > 0.9 * products


TABLES = {  # each leaves int8 weights to the first and the third
    "bf16": "f1_Relu MIX_BF16\nf3_Relu mix_bf16\n",
    "mix_bf16": "f2_Relu\ny_MatMul_product BF16\n",
    "mixed": "f1_Relu MIX_BF16\nf3_Relu MIX_BF16\n",
}


@pytest.mark.parametrize("quant", TABLES)
@pytest.mark.parametrize("spec", [CHIPS[0], CHIPS[-1]], ids=lambda s: s.name)
def test_a_mix_table_names_layers(
    quant: str, spec: ChipSpec, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, target = network.with_name("mix.txt"), network.with_name("out.cvimodel")
    table.write_text(TABLES[quant])
    needed = ["--dataset", str(network.parent)] if quant == "mixed" else []
    words = ["convert", str(network), "-o", str(target), "--chip", spec.name, "--quant", quant]
    image = str(network.with_name("x.npz"))
    table_words = ["--mix-precision-table", str(table), "--image", image, "--keep-tensors"]
    code = main([*words, *table_words, *needed, "--work-dir", str(network.with_name("work"))])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert ("c_Conv (Conv2d) is computed in BF16 without weights" in shown.out + shown.err) == (
        quant == "mix_bf16"
    )
    (saved,) = network.with_name("work").glob(f"*_{quant}.cvi.json")
    assert mixed_layers(storage.load(saved)) == ["f1_Relu_conv", "f3_Relu_conv"]
    compare_with_vendor(target, x_of(network))
