"""The weight section, the tensor table and the limits of the chip."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.errors import UnsupportedError
from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Add, Concat, Permute
from cvi.preprocess.spec import Preprocess
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import compile_graph, compile_with_report
from cvi_tpu.codegen.constraints import CONSTRAINTS, check
from cvi_tpu.codegen.weights import WeightSection
from cvi_tpu.family import make_chip
from cvi_tpu.model import NO_MEMORY, decode_arguments, read
from cvi_tpu.quantized.ops import CpuSoftmax, Dequantize, Int8Clip, Int8MaxPool2d, Quantize


def test_blobs_are_aligned_and_shared() -> None:
    weights = WeightSection()
    first = weights.add("a", np.arange(5, dtype=np.uint8))
    second = weights.add("b", np.arange(7, dtype=np.int32))
    again = weights.add("c", np.arange(5, dtype=np.uint8))
    assert (first.address, second.address, again.address) == (0, 16, 0)
    assert weights.bytes == 16 + 32 == len(weights.content())
    assert weights.content()[16:44] == np.arange(7, dtype="<i4").tobytes()
    assert [(w.name, w.size) for w in weights.table()] == [("a", 5), ("b", 28)]


def test_names_in_the_weight_map_are_unique() -> None:
    weights = WeightSection()
    for value in range(3):
        weights.add("w", np.full(4, value, np.uint8))
    assert [w.name for w in weights.table()] == ["w", "w_1", "w_2"]


def network(dtype: DType = DType.INT8, preprocess: Preprocess | None = None) -> Graph:
    graph = Graph("net")
    scale = 0.5 if dtype is DType.INT8 else None
    type = TensorType((2, 3, 4, 5), dtype, scale)
    graph.add(Input(name="x", type=type, preprocess=preprocess))
    last = "x"
    if dtype is DType.FP32:
        last = graph.add(Quantize(name="q", inputs=("x",), scale=2.0)).name
    graph.add(Int8Clip(name="a", inputs=(last,), minimum=0, maximum=9, out_scale=0.5))
    graph.add(Permute(name="p", inputs=("a",), order=(0, 2, 3, 1)))
    graph.add(Dequantize(name="d", inputs=("p",), scale=0.5))
    graph.add(CpuSoftmax(name="s", inputs=("d",), axis=3))
    graph.outputs = ("s",)
    return graph


def test_the_tables_of_a_program() -> None:
    model = read(compile_graph(network(), CV183X))
    program = model.programs[0]
    assert (model.chip, model.target, model.version) == ("cv183x", "cv183x", (1, 4, 0))
    assert (program.batch, program.inputs, program.outputs) == (2, ("x",), ("s",))
    assert program.tensor("x").qscale == 2.0
    assert program.tensor("a").qscale == 0.5
    assert program.tensor("d").offset == NO_MEMORY
    assert (program.tensor("x").region, program.tensor("s").region) == (3, 4)
    tpu, cast, softmax = program.routines
    assert (tpu.inputs, tpu.outputs) == (("x",), ("p",))
    assert cast.cpu is not None and softmax.cpu is not None
    assert decode_arguments(cast.cpu.args) == {"from": "INT8", "to": "NONE", "scale": 0.5}
    assert decode_arguments(softmax.cpu.args) == {"axis": 3}


def test_float_inputs_are_quantised_on_the_cpu() -> None:
    program = read(compile_graph(network(DType.FP32), CV183X)).programs[0]
    first = program.routines[0]
    assert first.cpu is not None and first.cpu.function == "quant"
    assert decode_arguments(first.cpu.args) == {"from": "FP32", "to": "INT8", "scale": 2.0}
    assert program.tensor("x").qscale == 1.0


def test_image_inputs_tell_their_preprocessing() -> None:
    preprocess = Preprocess(
        net_input_dims=(4, 5), resize_dims=(4, 5), mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0)
    )
    tensor = read(compile_graph(network(preprocess=preprocess), CV183X)).programs[0].tensor("x")
    assert tensor.pixel_format == "BGR_PLANAR"
    assert tensor.scale == pytest.approx((0.5, 0.25, 0.2))
    assert tensor.mean == pytest.approx((5.0, 5.0, 6.0))


def test_the_same_graph_gives_the_same_bytes() -> None:
    assert compile_graph(network(), CV183X) == compile_graph(network(), CV183X)


def test_the_report_counts_layers() -> None:
    report = compile_with_report(network(), CV183X).report
    assert (report.tpu_layers, report.cpu_layers, report.tpu_routines) == (2, 2, 1)
    assert report.io_bytes == 2 * 3 * 4 * 5 * (1 + 4)
    assert report.tiu_commands > 0 and report.tdma_commands > 0


def test_a_long_routine_is_cut() -> None:
    from dataclasses import replace

    graph = network()
    whole = compile_with_report(graph, CV183X)
    short = replace(CV183X, stream_bytes=(20 << 20, 64 * (whole.report.tdma_commands - 1)))
    cut = compile_with_report(graph, short)
    assert cut.report.tpu_routines > whole.report.tpu_routines
    assert cut.report.tdma_commands == whole.report.tdma_commands


def test_every_problem_is_named_at_once() -> None:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 3, 40, 40), DType.INT8, 1.0)))
    graph.add(Input(name="y", type=TensorType((1, 3, 40, 40))))
    graph.add(Add(name="sum", inputs=("y", "y")))
    graph.add(
        Int8MaxPool2d(name="pool", inputs=("x",), kernel=(20, 20), stride=(17, 1),
                      pads=(16, 0, 0, 0), out_scale=1.0)
    )  # fmt: skip
    graph.outputs = ("sum", "pool")
    problems = check(graph, CV183X)
    assert [p.split(":")[0] for p in problems] == ["sum (Add)"] + ["pool (Int8MaxPool2d)"] * 2
    with pytest.raises(UnsupportedError) as caught:
        compile_graph(graph, CV183X)
    assert caught.value.problems == tuple(problems)
    assert make_chip(CV183X).check(graph) == problems


def test_constant_outputs_are_refused() -> None:
    graph = network()
    graph.constants["k"] = np.zeros((1, 4), np.int8)
    graph.outputs = ("s", "k")
    assert check(graph, CV183X)[0].startswith("k: ")


def test_chips_without_cpu_functions() -> None:
    from dataclasses import replace

    problems = check(network(), replace(CV183X, has_cpu_functions=False))
    assert [p.split(" ")[0] for p in problems] == ["d", "s"]


def test_every_limit_has_a_sentence_for_users() -> None:
    assert len(CONSTRAINTS) > 8
    for _, constraint in CONSTRAINTS:
        assert (constraint.__doc__ or "").strip().endswith(".")


def test_the_chip_object() -> None:
    class Options:
        keep_tensors = True

    chip = make_chip(CV183X)
    assert (chip.name, chip.schemes) == ("cv183x", ("int8", "bf16", "mix_bf16", "mixed"))
    kept = read(chip.compile(network(), Options())).programs[0]
    assert not any(t.overwrote for t in kept.tensors)


def test_constants_are_operands_too() -> None:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 2, 3), DType.INT8, 1.0)))
    name = graph.constant("k", np.arange(12, dtype=np.int8).reshape(1, 4, 3))
    graph.add(Concat(name="c", inputs=("x", name), axis=1))
    graph.outputs = ("c",)
    model = read(compile_graph(graph, CV183X))
    assert model.weights()[:12] == bytes(range(12))
