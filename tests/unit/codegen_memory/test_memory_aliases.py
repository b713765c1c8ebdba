"""Which values share memory, and which must not."""

from __future__ import annotations

from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Concat, Reshape, Slice
from cvi_tpu.codegen.aliases import find_aliases, free_ops
from cvi_tpu.quantized.ops import Dequantize, Int8Clip, Int8MaxPool2d

TYPE = TensorType((1, 8, 4, 6), DType.INT8, 1.0)


def start(*names: str) -> Graph:
    graph = Graph("g")
    for name in names:
        graph.add(Input(name=name, type=TYPE))
    return graph


def clip(graph: Graph, name: str, source: str) -> None:
    graph.add(Int8Clip(name=name, inputs=(source,), minimum=0, maximum=9, out_scale=1.0))


def cut(name: str, source: str, starts: tuple[int, ...], sizes: tuple[int, ...]) -> Slice:
    return Slice(name=name, inputs=(source,), starts=starts, sizes=sizes, steps=(1, 1, 1, 1))


def test_operands_are_computed_into_the_concat() -> None:
    graph = start("x")
    clip(graph, "a", "x")
    clip(graph, "b", "x")
    graph.add(Concat(name="c", inputs=("a", "b"), axis=1))
    graph.outputs = ("c",)
    placed = find_aliases(graph)
    assert placed["a"].root == placed["b"].root == "c"
    assert placed["b"].view.address == 8 * 4 * 6
    assert free_ops(graph, placed) == {"c"}


def test_windows_along_rows_are_strided() -> None:
    graph = start("x")
    clip(graph, "a", "x")
    clip(graph, "b", "a")
    graph.add(Concat(name="c", inputs=("a", "b"), axis=3))
    graph.outputs = ("c",)
    placed = find_aliases(graph)
    assert placed["b"].view.strides == (8 * 4 * 12, 4 * 12, 12, 1)
    assert placed["b"].view.address == 6


def test_what_cannot_move_into_a_concat_is_copied() -> None:
    graph = start("x")
    clip(graph, "a", "x")
    clip(graph, "out", "x")
    graph.add(Concat(name="c", inputs=("x", "a", "a", "out"), axis=1))
    graph.outputs = ("c", "out")
    placed = find_aliases(graph)
    assert [placed[n].root for n in ("x", "a", "out", "c")] == ["x", "a", "out", "c"]
    assert not free_ops(graph, placed)


def test_a_value_goes_into_one_concat_only() -> None:
    graph = start("x")
    clip(graph, "a", "x")
    clip(graph, "b", "x")
    graph.add(Concat(name="c", inputs=("a", "b"), axis=1))
    graph.add(Concat(name="d", inputs=("b", "a"), axis=1))
    graph.outputs = ("c", "d")
    placed = find_aliases(graph)
    assert {placed["a"].root, placed["b"].root} == {"d"}
    assert free_ops(graph, placed) == {"d"}


def test_concats_nest() -> None:
    graph = start("x")
    for name in "abc":
        clip(graph, name, "x")
    graph.add(Concat(name="inner", inputs=("a", "b"), axis=1))
    graph.add(Concat(name="outer", inputs=("inner", "c"), axis=1))
    graph.outputs = ("outer",)
    placed = find_aliases(graph)
    assert {placed[n].root for n in ("a", "b", "c", "inner")} == {"outer"}
    assert placed["c"].view.address == 2 * 8 * 24
    assert free_ops(graph, placed) == {"inner", "outer"}


def test_reshapes_of_dense_values_are_free() -> None:
    graph = start("x")
    graph.add(Reshape(name="r", inputs=("x",), shape=(8, 24)))
    clip(graph, "c", "r")
    graph.outputs = ("c",)
    placed = find_aliases(graph)
    assert placed["r"].root == "x"
    assert free_ops(graph, placed) == {"r"}


def test_a_reshaped_output_pulls_its_operand_into_its_memory() -> None:
    graph = start("x")
    clip(graph, "c", "x")
    graph.add(Reshape(name="r", inputs=("c",), shape=(8, 24)))
    graph.outputs = ("r",)
    placed = find_aliases(graph)
    assert placed["c"].root == "r"
    assert free_ops(graph, placed) == {"r"}


def test_inputs_and_outputs_never_share() -> None:
    graph = start("x")
    graph.add(Reshape(name="r", inputs=("x",), shape=(8, 24)))
    graph.outputs = ("r",)
    placed = find_aliases(graph)
    assert placed["r"].root == "r"
    assert not free_ops(graph, placed)


def test_slices_are_windows_for_kernels() -> None:
    graph = start("x")
    graph.add(cut("s", "x", (0, 0, 1, 2), (1, 8, 3, 4)))
    graph.add(Int8MaxPool2d(name="p", inputs=("s",), kernel=(2, 2), out_scale=1.0))
    graph.outputs = ("p",)
    placed = find_aliases(graph)
    assert placed["s"].root == "x"
    assert placed["s"].view.address == 8
    assert placed["s"].view.strides == (192, 24, 6, 1)


def test_slices_for_the_cpu_are_copied() -> None:
    graph = start("x")
    graph.add(cut("s", "x", (0, 0, 1, 2), (1, 8, 3, 4)))
    graph.add(Dequantize(name="d", inputs=("s",), scale=1.0))
    graph.outputs = ("d",)
    placed = find_aliases(graph)
    assert placed["s"].root == "s"


def test_a_dense_slice_is_good_for_the_cpu_if_it_is_aligned() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((4, 64), DType.INT8, 1.0)))
    graph.add(Slice(name="s", inputs=("x",), starts=(1, 0), sizes=(2, 64), steps=(1, 1)))
    graph.add(Slice(name="t", inputs=("x",), starts=(1, 3), sizes=(1, 8), steps=(1, 1)))
    graph.add(Dequantize(name="d", inputs=("s",), scale=1.0))
    graph.add(Dequantize(name="e", inputs=("t",), scale=1.0))
    graph.outputs = ("d", "e")
    placed = find_aliases(graph)
    assert placed["s"].root == "x"
    assert placed["t"].root == "t"


def test_a_reshape_of_a_strided_slice_is_a_copy() -> None:
    graph = start("x")
    graph.add(cut("s", "x", (0, 0, 0, 0), (1, 8, 4, 3)))
    graph.add(Reshape(name="r", inputs=("s",), shape=(8, 12)))
    clip(graph, "c", "r")
    graph.outputs = ("c",)
    placed = find_aliases(graph)
    assert placed["s"].root == "x"
    assert placed["r"].root == "r"


def test_strided_slices_with_steps_are_copies() -> None:
    graph = start("x")
    graph.add(
        Slice(name="s", inputs=("x",), starts=(0,) * 4, sizes=(1, 4, 4, 6), steps=(1, 2, 1, 1))
    )
    clip(graph, "c", "s")
    graph.outputs = ("c",)
    assert find_aliases(graph)["s"].root == "s"


def test_without_sharing_everything_has_memory_of_its_own() -> None:
    graph = start("x")
    clip(graph, "a", "x")
    graph.add(Reshape(name="r", inputs=("a",), shape=(8, 24)))
    graph.add(Reshape(name="q", inputs=("r",), shape=(1, 8, 4, 6)))
    graph.add(Concat(name="c", inputs=("a", "q"), axis=1))
    graph.outputs = ("c",)
    placed = find_aliases(graph, share=False)
    assert all(where.root == name for name, where in placed.items())


def test_float_reshapes_are_free_even_without_sharing() -> None:
    graph = start("x")
    graph.add(Dequantize(name="d", inputs=("x",), scale=1.0))
    graph.add(Reshape(name="r", inputs=("d",), shape=(8, 24)))
    graph.add(Reshape(name="q", inputs=("r",), shape=(24, 8)))
    graph.outputs = ("q",)
    placed = find_aliases(graph, share=False)
    assert placed["r"].root == "d"
