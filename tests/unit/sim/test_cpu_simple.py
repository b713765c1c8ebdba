"""CPU functions that convert, move, reduce and normalise, on cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cpu_cases import Case, fp32, results
from cvi.errors import CviError, ModelError, UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.model import Element
from cvi_tpu.model.arguments import Floats, Ints, Value


def floats(*values: float, shape: tuple[int, ...] | None = None) -> Array:
    x = np.array(values, np.float32)
    return x.reshape(shape or (1, x.size, 1, 1))


def run(function: str, arguments: dict[str, Value], *inputs: Array, out: tuple[int, ...]) -> Array:
    (values,) = results(Case(function, arguments, inputs, [(out, Element.FP32)]))
    return values


def run_bytes(function: str, arguments: dict[str, Value], x: Array, out: tuple[int, ...]) -> Array:
    element = Element.INT8 if x.dtype == np.int8 else Element.UINT8
    (values,) = results(Case(function, arguments, [x], [(out, element)]))
    return values


PREPROCESS: dict[str, Value] = {
    "scale": 2.0,
    "raw_scale": 0.5,
    "mean": Floats((1.0, 10.0, 100.0)),
    "color_order": Ints((1, 2, 0)),
}


def test_preprocess_reorders_then_scales_then_subtracts() -> None:
    got = run("preprocess", PREPROCESS, floats(2, 4, 6), out=(1, 3, 1, 1))
    # channel 2 goes to 0, 0 to 1, 1 to 2
    np.testing.assert_array_equal(got.ravel(), [(3 - 1) * 2, (1 - 10) * 2, (2 - 100) * 2])


def test_preprocess_with_everything_off() -> None:
    off = {"scale": 1.0, "raw_scale": 0.0, "mean": Floats(()), "color_order": Ints(())}
    np.testing.assert_array_equal(
        run("preprocess", off, floats(2, 4, 6), out=(1, 3, 1, 1)).ravel(), [2, 4, 6]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": Floats((1.0,))}, "'mean' has 1 values for 3 channels"),
        ({"color_order": Ints((0, 0, 1))}, "'color_order'"),
        ({"color_order": Ints((0,))}, "'color_order'"),
        ({"mean": 1.0}, "'mean' as float array; the file has float"),
        ({"scale": 1}, "'scale' as float; the file has int"),
    ],
)
def test_preprocess_refuses(change: dict[str, Value], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        run("preprocess", PREPROCESS | change, floats(2, 4, 6), out=(1, 3, 1, 1))


def test_pixelshuffle_takes_depth_column_row() -> None:
    x = np.arange(8, dtype=np.int8).reshape(1, 8, 1, 1)
    got = run_bytes("pixelshuffle", {"upscale_factor": 2, "mode": "DCR"}, x, (1, 2, 2, 2))
    np.testing.assert_array_equal(got, [[[[0, 2], [4, 6]], [[1, 3], [5, 7]]]])


def test_pixelshuffle_refuses_other_orders_and_sizes() -> None:
    x = np.zeros((1, 8, 1, 1), np.int8)
    with pytest.raises(UnsupportedError, match="'mode' of pixelshuffle is 'CRD'"):
        run_bytes("pixelshuffle", {"upscale_factor": 2, "mode": "CRD"}, x, (1, 2, 2, 2))
    for r, out in ((2, (1, 2, 2, 3)), (3, (1, 2, 2, 2)), (2, (1, 1, 2, 4))):
        with pytest.raises(ModelError, match=f"pixelshuffle by {r}"):
            run_bytes("pixelshuffle", {"upscale_factor": r, "mode": "DCR"}, x, out)


def test_embedding_takes_rows() -> None:
    table = np.array([[1, 2], [3, 4], [5, 6]], np.int8).reshape(3, 2, 1, 1)
    indices = np.array([2, 0], np.int32).reshape(1, 2, 1, 1)
    out = [((1, 2, 2, 1), Element.INT8)]
    (got,) = results(Case("embedding", {}, [indices, table], out))
    np.testing.assert_array_equal(got.ravel(), [5, 6, 1, 2])
    for index in (3, -1):
        bad = np.full((1, 2, 1, 1), index, np.int32)
        with pytest.raises(ModelError, match=f"index {index} is outside of the 3"):
            results(Case("embedding", {}, [bad, table], out))
    with pytest.raises(ModelError, match="reads int8 or int16 or uint16 or bf16, not fp32"):
        results(Case("embedding", {}, [indices, table.astype(np.float32)], out))


def test_means_of_bytes_wrap() -> None:
    x = np.array([200, 100], np.uint8).reshape(1, 2, 1, 1)
    got = run_bytes("cpu_reduce_mean", {"axes": Ints((1,))}, x, (1, 1, 1, 1))
    assert got.ravel().tolist() == [(300 % 256) // 2]
    negative = np.array([-1, -1], np.int8).reshape(1, 2, 1, 1)  # 255 + 255 = 510
    got = run_bytes("cpu_reduce_mean", {"axes": Ints((1,))}, negative, (1, 1, 1, 1))
    assert got.ravel().tolist() == [127]


def test_means_of_floats_go_axis_by_axis() -> None:
    x = floats(1, 2, 4, 9, shape=(1, 1, 2, 2))
    got = run("cpu_reduce_mean", {"axes": Ints((2, 3))}, x, out=(1, 1, 1, 1))
    assert got.item() == 4.0


def test_roots_of_sums_of_squares() -> None:
    x = floats(3, 4, 0, 12, shape=(1, 2, 2, 1))
    got = run("reduce_l2", {"axes": Ints((2,))}, x, out=(1, 2, 1, 1))
    np.testing.assert_array_equal(got.ravel(), [5, 12])
    wrapped = np.array([16, 3], np.uint8).reshape(1, 2, 1, 1)  # 256 + 9 is 9
    assert run_bytes("reduce_l2", {"axes": Ints((1,))}, wrapped, (1, 1, 1, 1)).item() == 3


def test_the_maximum_knows_one_axis_and_no_signs() -> None:
    x = floats(1, 5, 3, 2, shape=(1, 1, 2, 2))
    got = run("cpu_reduce_max", {"axes": Ints((2, 3))}, x, out=(1, 1, 1, 2))
    np.testing.assert_array_equal(got.ravel(), [3, 5])
    signed = np.array([5, -1], np.int8).reshape(1, 2, 1, 1)
    assert run_bytes("cpu_reduce_max", {"axes": Ints((1,))}, signed, (1, 1, 1, 1)).item() == -1


@pytest.mark.parametrize("function", ["cpu_reduce_mean", "reduce_l2", "cpu_reduce_max"])
def test_reductions_refuse(function: str) -> None:
    x = floats(1, 2)
    for axes in ((), (4,), (-1,)):
        with pytest.raises(ModelError, match="argument 'axes'"):
            run(function, {"axes": Ints(axes)}, x, out=(1, 1, 1, 1))
    with pytest.raises(ModelError, match="writes 1 values, the tensor has 2"):
        run(function, {"axes": Ints((1,))}, x, out=(1, 2, 1, 1))


def test_cumsum_knows_no_negative_axis() -> None:
    got = run("cumsum", {"axis": 1}, floats(1, 2, 4), out=(1, 3, 1, 1))
    np.testing.assert_array_equal(got.ravel(), [1, 3, 7])
    with pytest.raises(ModelError, match="argument 'axis' is -1"):
        run("cumsum", {"axis": -1}, floats(1, 2, 4), out=(1, 3, 1, 1))


def test_instance_norm_divides_the_statistics_by_the_first_gamma() -> None:
    x = floats(1, 3, 10, 30, shape=(1, 2, 1, 2))  # means 2 and 20, variances 1 and 100
    got = run(
        "instance_norm",
        {"variance_epsilon": 0.0},
        x,
        floats(4, 1000),
        floats(0, 7),
        out=(1, 2, 1, 2),
    )
    first = (np.array([1, 3]) - 2 / 4) / np.sqrt(1 / 4)
    second = (np.array([10, 30]) - 20 / 4) / np.sqrt(100 / 4) + 7
    np.testing.assert_array_equal(got.ravel(), np.concatenate([first, second]))


def test_instance_norm_takes_the_statistics_of_the_last_image() -> None:
    x = floats(100, 200, 1, 3, shape=(2, 1, 1, 2))
    got = run("instance_norm", {"variance_epsilon": 0.0}, x, floats(1), floats(0), out=(2, 1, 1, 2))
    np.testing.assert_array_equal(got.ravel(), [98, 198, -1, 1])
    with pytest.raises(ModelError, match="1 values of beta for 2 channels"):
        run(
            "instance_norm",
            {"variance_epsilon": 0.0},
            x.reshape(1, 2, 1, 2),
            floats(1),
            floats(0),
            out=(1, 2, 1, 2),
        )


# -- argmax -------------------------------------------------------------------------------


def argmax_case(function: str, row: list[int], outputs: int, **more: Value) -> list[Array]:
    data = np.zeros((1, 300, 1, 1), np.int8) - 100
    data[0, : len(row), 0, 0] = row
    maxima = np.array([data[0, :256].max(), data[0, 256:].max()], np.int8).reshape(1, 2, 1, 1)
    shapes = [fp32(1, 2 if function == "argmax_with_conf" else 1, 1, 1)] * outputs
    return results(Case(function, {"axis": 1, **more}, [data, maxima], shapes))


def test_argmax_finds_the_first_largest() -> None:
    assert argmax_case("argmax", [3, 9, 9], 1)[0].item() == 1
    index, value = argmax_case("argmax_v3", [3, 9, 9], 2, scale=0.5)
    assert (index.item(), value.item()) == (1, 4.5)
    np.testing.assert_array_equal(
        argmax_case("argmax_with_conf", [3, 9, 9], 1, scale=0.5)[0].ravel(), [4.5, 1]
    )


def test_argmax_in_the_second_block() -> None:
    assert argmax_case("argmax", [0] * 280 + [7], 1)[0].item() == 280


def test_argmax_ignores_what_is_not_positive() -> None:
    row = [-5, -3, -4]
    assert argmax_case("argmax", row, 1)[0].item() == 0
    assert argmax_case("argmax_v3", row, 1)[0].item() == 1


def test_argmax_refuses() -> None:
    data, short = np.zeros((1, 300, 1, 1), np.int8), np.zeros((1, 1, 1, 1), np.int8)
    for inputs, message in (
        ([data, short], "1 rows of 300 need 2 maxima, not 1"),
        ([data], "2 or more inputs"),
        ([data, data.astype(np.float32)], "reads int8, not fp32"),
    ):
        with pytest.raises(ModelError, match=message):
            results(Case("argmax", {"axis": 1}, inputs, [fp32(1, 1, 1, 1)]))


# -- gathers ------------------------------------------------------------------------------


def test_gather_elements() -> None:
    x = floats(1, 2, 3, 4, shape=(1, 1, 2, 2))
    indices = np.array([1, 0], np.int32).reshape(1, 1, 1, 2)
    got = run("gatherelements_pt", {"axis": 2}, x, indices, out=(1, 1, 1, 2))
    np.testing.assert_array_equal(got.ravel(), [3, 2])
    beyond = indices + 1  # row 2 of 2
    with pytest.raises(ModelError, match="outside of the 4"):
        run("gatherelements_pt", {"axis": 2}, x, beyond, out=(1, 1, 1, 2))


def test_gather_nd() -> None:
    x = floats(*range(8), shape=(2, 2, 1, 2))
    indices = np.array([[1, 0], [0, 1]], np.int32).reshape(1, 1, 2, 2)
    arguments: dict[str, Value] = {"batch_dims": 0, "indice_dims": 4}
    got = run("gathernd_tf", arguments, x, indices, out=(1, 1, 2, 2))
    np.testing.assert_array_equal(got.ravel(), [4, 5, 2, 3])
    for change in ({"batch_dims": 9}, {"indice_dims": 0}):
        with pytest.raises(ModelError, match="'batch_dims'"):
            run("gathernd_tf", arguments | change, x, indices, out=(1, 1, 2, 2))


def test_no_function_takes_padded_or_missing_tensors() -> None:
    for function in ("transpose", "cumsum", "preprocess"):
        with pytest.raises(CviError, match=r"reads 1 or more inputs|needs"):
            results(Case(function, {}, [], [fp32(1, 1, 1, 1)]))
    with pytest.raises(ModelError, match="no padded tensors"):
        results(Case("cumsum", {"axis": 0}, [np.zeros(4, np.float32)], [fp32(1, 1, 1, 1)]))
