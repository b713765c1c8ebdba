"""Preprocessing options, stored and real values, equality, and what `inspect` counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_chip import World

import cvi
from cvi.errors import InputError
from cvi.flow.equality import difference, same
from cvi.flow.images import ImageOptions, is_image_input, with_preprocess
from cvi.flow.real import quantised_input, real
from cvi.ir import DType, Graph, Input, TensorType
from cvi.macs import macs
from cvi.ops import Conv2d, ConvTranspose2d, FullyConnected


def image_graph(shape: tuple[int, ...] = (1, 3, 8, 6)) -> Graph:
    graph = Graph("g")
    graph.add(Input(name="data", type=TensorType(shape)))
    graph.outputs = ("data",)
    return graph


def test_options_become_the_preprocessing_of_image_inputs() -> None:
    options = ImageOptions(preset="imagenet-torch", resize_dims=(10, 10), input_scale=2.0)
    op = with_preprocess(image_graph(), options, True).inputs[0]
    assert op.preprocess is not None
    assert op.preprocess.net_input_dims == (8, 6)
    assert op.preprocess.resize_dims == (10, 10)
    assert op.preprocess.channel_order == "rgb"
    assert op.preprocess.mean == (0.485, 0.456, 0.406)
    assert op.preprocess.input_scale == 2.0


def test_single_channel_input_is_gray() -> None:
    op = with_preprocess(image_graph((1, 1, 8, 6)), ImageOptions(preset="none"), True).inputs[0]
    assert op.preprocess is not None
    assert op.preprocess.pixel_format == "GRAYSCALE"


def test_no_option_and_no_image_is_fine() -> None:
    graph = image_graph()
    assert with_preprocess(graph, ImageOptions(), False) is graph


def test_no_option_but_images_lists_the_presets() -> None:
    with pytest.raises(InputError) as caught:
        with_preprocess(image_graph(), ImageOptions(), True)
    assert "--preset tf-minus1-1" in caught.value.fix


def test_wrong_size_names_both() -> None:
    options = ImageOptions(preset="none", net_input_dims=(224, 224))
    with pytest.raises(InputError, match="is 8,6, not 224,224") as caught:
        with_preprocess(image_graph(), options, True)
    assert "--input-shape data=N,3,H,W" in caught.value.fix


def test_gray_images_for_a_colour_network() -> None:
    with pytest.raises(InputError, match="1 channels do not fit"):
        with_preprocess(image_graph(), ImageOptions(gray=True), True)


def test_options_for_a_network_without_images() -> None:
    with pytest.raises(InputError, match="no image input"):
        with_preprocess(image_graph((1, 10)), ImageOptions(preset="none"), False)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (TensorType((1, 3, 4, 4)), True),
        (TensorType((1, 1, 4, 4)), True),
        (TensorType((1, 2, 4, 4)), False),
        (TensorType((1, 3, 4)), False),
        (TensorType((1, 3, 4, 4), DType.INT64), False),
    ],
)
def test_which_inputs_are_images(kind: TensorType, expected: bool) -> None:
    assert is_image_input(Input(name="x", type=kind)) is expected


def test_inputs_are_rounded_half_away_from_zero_and_saturated() -> None:
    op = Input(name="x", type=TensorType((8,), DType.INT8, 0.5))
    given = np.array([0.25, -0.25, 0.75, -0.75, 0.2, 100, -100, 0], np.float32)
    expected = np.array([1, -1, 2, -2, 0, 127, -128, 0], np.int8)
    stored = quantised_input(op, given)
    assert stored.dtype == np.int8
    np.testing.assert_array_equal(stored, expected)


def test_bf16_inputs_are_truncated() -> None:
    op = Input(name="x", type=TensorType((2,), DType.BF16))
    given = np.array([0x3F80FFFF, 0xBF800001], np.uint32).view(np.float32)
    assert [hex(v) for v in quantised_input(op, given)] == ["0x3f80", "0xbf80"]


def test_stored_inputs_pass_unchanged() -> None:
    op = Input(name="x", type=TensorType((2,), DType.INT8, 0.5))
    given = np.array([3, -4], np.int8)
    assert quantised_input(op, given) is given


def test_real_values() -> None:
    np.testing.assert_array_equal(
        real(np.array([-2, 4], np.int8), TensorType((2,), DType.INT8, 0.5)), [-1, 2]
    )
    np.testing.assert_array_equal(
        real(np.array([0x3F80], np.uint16), TensorType((1,), DType.BF16)), [1.0]
    )
    floats = np.array([1.5], np.float32)
    assert real(floats, TensorType((1,))) is floats


def graph_of(kind: TensorType) -> Graph:
    graph = Graph("g")
    graph.add(Input(name="x", type=kind))
    return graph


def test_integers_must_be_equal() -> None:
    graph = graph_of(TensorType((2,), DType.INT8, 1.0))
    a = np.array([1, 2], np.int8)
    assert same(graph, "x", a, a.reshape(1, 2))
    assert not same(graph, "x", a, a + np.int8(1))
    assert not same(graph, "x", a, a.astype(np.int16))
    assert not same(graph, "x", a, a[:1])


def test_floats_of_the_cpu_may_differ_by_one_unit_in_the_last_place() -> None:
    graph = graph_of(TensorType((3,)))
    a = np.array([1, -3, np.nan], np.float32)
    up = np.nextafter(a, np.float32(10))
    assert same(graph, "x", a, a)
    assert same(graph, "x", up, a)
    assert not same(graph, "x", np.nextafter(up, np.float32(10)), a)
    assert not same(graph, "x", np.array([1, -3, 0], np.float32), a)


@pytest.mark.filterwarnings("error")
def test_infinities_are_equal_only_to_themselves() -> None:
    graph = graph_of(TensorType((2,)))
    a = np.array([np.inf, -np.inf], np.float32)
    assert same(graph, "x", a, a.copy())
    assert not same(graph, "x", a, -a)
    assert not same(graph, "x", a, np.array([1, -1], np.float32))


def test_difference_says_what_and_where() -> None:
    a = np.zeros((2, 3), np.int8)
    b = a.copy()
    b[1, 1] = 5
    assert difference(a, b) == "1 of 6 elements differ, the first is 0 instead of 5 at (1, 1)"
    assert difference(a, a.astype(np.int16)) == "type int8 instead of int16"
    assert difference(a, a[:1]) == "shape [2, 3] instead of [1, 3]"


def test_multiply_accumulates() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((2, 4, 8, 8))))
    weight = graph.constant("w", np.zeros((6, 2, 3, 3), np.float32))
    conv = graph.add(Conv2d(name="c", inputs=("x", weight, ""), group=2, pads=(1, 1, 1, 1)))
    assert macs(graph, conv) == 2 * 6 * 8 * 8 * 2 * 9
    weight = graph.constant("v", np.zeros((4, 5, 2, 2), np.float32))
    up = graph.add(ConvTranspose2d(name="t", inputs=("x", weight, ""), stride=(2, 2)))
    assert macs(graph, up) == 2 * 4 * 8 * 8 * 5 * 4
    weight = graph.constant("u", np.zeros((7, 8), np.float32))
    full = graph.add(FullyConnected(name="f", inputs=("x", weight, "")))
    assert macs(graph, full) == 2 * 4 * 8 * 7 * 8
    assert macs(graph, graph["x"]) == 0


def test_inspect(world: World, folder: Path) -> None:
    found = cvi.inspect("net.fake")
    assert found.inputs == {"x": "fp32[1x3x4x4]"}
    assert found.outputs == {"second_Relu": "fp32[1x3x4x4]"}
    assert found.ops == {"Abs": 1, "Relu": 1}
    assert found.preprocessing["x"].startswith("unknown")
    cvi.transform(
        "net.fake", "n.cvi.json", image_options=ImageOptions(preset="zero-one"), images=["x.npz"]
    )
    assert cvi.inspect("n.cvi.json").preprocessing["x"].endswith("(stored in the file)")


def test_import_of_the_package_is_light() -> None:
    import subprocess
    import sys

    code = (
        "import sys, cvi; print([m for m in ('numpy', 'typer', 'rich', 'onnx', 'pluggy') "
        "if m in sys.modules]); cvi.convert; print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\nTrue\n"


def test_public_names_all_exist() -> None:
    for name in cvi.__all__:
        assert getattr(cvi, name) is not None
    assert set(cvi.__all__) <= set(dir(cvi))
    with pytest.raises(AttributeError):
        cvi.no_such_thing  # noqa: B018
