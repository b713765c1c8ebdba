"""CPU functions that resize and sample images, on cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cpu_cases import Case, fp32, results
from cvi.errors import CviError, ModelError, UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.model.arguments import Value

INTERP: dict[str, Value] = {
    "shrink_factor": 0,
    "zoom_factor": 0,
    "pad_beg": 0,
    "pad_end": 0,
    "height": 1,
    "width": 4,
    "coordinate_transformation_mode": "align_corners",
}
ROW = np.array([0, 10], np.float32).reshape(1, 1, 1, 2)


def interp(x: Array, out: tuple[int, int], **change: Value) -> Array:
    shape = fp32(*x.shape[:2], *out)
    (values,) = results(Case("interp", INTERP | change, [x], [shape]))
    return values


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("align_corners", [0, 10 / 3, 20 / 3, 10]),
        ("half_pixel", [0, 2.5, 7.5, 10]),
        ("pytorch_half_pixel", [0, 2.5, 7.5, 10]),
        ("asymmetric", [0, 5, 10, 10]),
        ("nearest", [0, 0, 10, 10]),
        ("nearest_half_pixel", [0, 0, 10, 10]),
    ],
)
def test_two_pixels_become_four(mode: str, row: list[float]) -> None:
    got = interp(ROW, (1, 4), coordinate_transformation_mode=mode)
    np.testing.assert_allclose(got.ravel(), row, rtol=1e-6)


def test_one_row_is_one_row_in_every_mode() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    for mode in ("align_corners", "half_pixel", "asymmetric", "nearest"):
        got = interp(x, (2, 3), height=2, width=3, coordinate_transformation_mode=mode)
        np.testing.assert_array_equal(got, x)


def test_pytorch_takes_the_first_pixel_of_a_length_that_becomes_one() -> None:
    x = np.array([4, 8], np.float32).reshape(1, 1, 1, 2)
    for mode, value in (("half_pixel", 6), ("pytorch_half_pixel", 4)):
        got = interp(x, (1, 1), width=1, coordinate_transformation_mode=mode)
        assert got.item() == value


def test_half_pixel_loses_the_only_row() -> None:
    """41 * fp32(1 / 41) is below 1: no row at all."""
    x = np.ones((1, 1, 41, 2), np.float32)
    assert not interp(x, (1, 2), width=2, coordinate_transformation_mode="half_pixel").any()


def test_shrinking_and_zooming() -> None:
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 1, 5)
    got = interp(x, (1, 3), shrink_factor=2, height=0, width=0)
    np.testing.assert_array_equal(got.ravel(), [0, 2, 4])
    got = interp(x, (1, 9), zoom_factor=2, height=0, width=0)
    np.testing.assert_array_equal(got.ravel(), np.arange(9) / 2)
    got = interp(x, (1, 5), shrink_factor=2, zoom_factor=2, height=0, width=0)
    np.testing.assert_array_equal(got.ravel(), np.arange(5))


def test_negative_pads_crop() -> None:
    x = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)
    got = interp(x, (3, 3), pad_beg=-1, pad_end=-1, height=3, width=3)
    np.testing.assert_array_equal(got[0, 0], x[0, 0, 1:4, 1:4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pad_beg": 1}, "pads only by 0 or less"),
        ({"pad_beg": -1}, "leave 0 x 1"),
        ({"height": 0}, "neither 'shrink_factor'"),
        ({"zoom_factor": -1}, "'zoom_factor' -1 is negative"),
        ({"height": -3}, "interp to -3 x 4"),
        ({"height": 1 << 30}, "the tensor has 4"),
        ({"zoom_factor": 1 << 30}, "the tensor has 4"),
        ({"coordinate_transformation_mode": "cubic"}, "'coordinate_transformation_mode' 'cubic'"),
        ({"coordinate_transformation_mode": 1}, "'coordinate_transformation_mode' as str"),
    ],
)
def test_interp_refuses(change: dict[str, Value], message: str) -> None:
    with pytest.raises(CviError, match=message):
        interp(ROW, (1, 4), **change)


# -- grid_sampler -------------------------------------------------------------------------

GRID: dict[str, Value] = {"mode": 0, "padding_mode": 0, "align_corners": True}


def sample(place: tuple[float, float], **change: Value) -> float:
    """One sample of the image [[1, 2], [3, 4]] at (x, y)."""
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 2, 2)
    grid = np.array(place, np.float32).reshape(1, 1, 1, 2)
    (value,) = results(Case("grid_sampler", GRID | change, [x, grid], [fp32(1, 1, 1, 1)]))
    return float(value.item())


def test_corners_and_middle() -> None:
    assert [sample(p) for p in ((-1, -1), (1, -1), (-1, 1), (1, 1))] == [1, 2, 3, 4]
    assert sample((0, 0)) == 2.5
    assert sample((-1, -1), align_corners=False) == 0.25  # three of four neighbours are outside


def test_padding_modes() -> None:
    assert [sample((3, -1), padding_mode=mode) for mode in (0, 1, 2)] == [0, 2, 1]
    assert sample((float("nan"), 0), mode=1) == 0


def test_nearest_rounds_half_away_from_zero() -> None:
    assert sample((0, -1), mode=1) == 2


def test_grid_sampler_refuses() -> None:
    for change in ({"mode": 2}, {"padding_mode": -1}):
        with pytest.raises(UnsupportedError, match="'mode'"):
            sample((0, 0), **change)
    with pytest.raises(ModelError, match="'align_corners' as bool; the file has int"):
        sample((0, 0), align_corners=1)


# -- deformable convolution ---------------------------------------------------------------

DEFORM: dict[str, Value] = {
    "kernel_h": 1,
    "kernel_w": 1,
    "stride_h": 1,
    "stride_w": 1,
    "padding_t": 0,
    "padding_l": 0,
    "dilation_h": 1,
    "dilation_w": 1,
    "deform_group": 1,
}


def patches(offset: tuple[float, float], mask: float = 1.0, **change: Value) -> Array:
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 2, 2)
    offsets = np.tile(np.array(offset, np.float32).reshape(1, 2, 1, 1), (1, 1, 2, 2))
    inputs = [x, offsets, np.full((1, 1, 2, 2), mask, np.float32)]
    (values,) = results(Case("deform_im2col", DEFORM | change, inputs, [fp32(1, 1, 2, 2)]))
    return values.ravel()


def test_patches_are_shifted_and_masked() -> None:
    np.testing.assert_array_equal(patches((0, 0)), [1, 2, 3, 4])
    np.testing.assert_array_equal(patches((0, 1), 2.0), [4, 0, 8, 0])
    np.testing.assert_array_equal(patches((0.5, 0)), [2, 3, 1.5, 2])
    np.testing.assert_array_equal(patches((-9, 0)), [0, 0, 0, 0])


def test_a_deformable_convolution_without_shifts_is_one() -> None:
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 2, 1, 2)
    weight = np.array([10, 1], np.float32).reshape(1, 2, 1, 1)
    bias = np.array([0.5], np.float32).reshape(1, 1, 1, 1)
    offsets, mask = np.zeros((1, 2, 1, 2), np.float32), np.ones((1, 1, 1, 2), np.float32)
    inputs = [x, weight, bias, offsets, mask]
    (got,) = results(Case("deform_conv2d", DEFORM, inputs, [fp32(1, 1, 1, 2)]))
    np.testing.assert_array_equal(got.ravel(), [13.5, 24.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride_h": 0}, "'stride_h' is 0"),
        ({"deform_group": 2}, "'deform_group' 2 of 1 channels"),
        ({"kernel_h": 5}, "no patches"),
        ({"padding_t": 1 << 30}, "the tensor has 4"),
        ({"kernel_w": 1.0}, "'kernel_w' as int; the file has float"),
    ],
)
def test_deform_refuses(change: dict[str, Value], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        patches((0, 0), **change)
