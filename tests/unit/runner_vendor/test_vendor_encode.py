"""Arrays as the vendor's tensors store them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cvi.errors import InputError
from cvi_runner_vendor.encode import stored
from cvi_runner_vendor.session import TensorInfo

INT8 = TensorInfo("t", (1, 1, 1, 4), "int8", 4, qscale=2.0, zero_point=0, aligned=False)


def test_floats_are_rounded_half_away_and_saturated() -> None:
    got = stored(np.float32([0.25, -0.25, 100, -100]), INT8)
    assert got.dtype == np.int8
    assert got.tolist() == [1, -1, 127, -128]


def test_just_below_a_half_goes_down() -> None:
    below = np.nextafter(np.float32(0.25), np.float32(0))
    assert stored(np.float32([below, -below, 0, 0]), INT8).tolist() == [0, 0, 0, 0]


def test_zero_point_and_unsigned() -> None:
    unsigned = replace(INT8, format="uint8", zero_point=10)
    assert stored(np.float32([0, -100, 1, 1000]), unsigned).tolist() == [10, 0, 12, 255]


def test_integers_are_saturated_and_stored_types_kept() -> None:
    assert stored(np.array([1, 200, -200, 0]), INT8).tolist() == [1, 127, -128, 0]
    given = np.array([1, 2, 3, 4], np.int8)
    assert stored(given, INT8).tolist() == [1, 2, 3, 4]


def test_bf16() -> None:
    tensor = replace(INT8, format="bf16", bytes=8)
    patterns = np.array([1, 2, 3, 0xFFFF], np.uint16)
    assert stored(patterns, tensor).tolist() == patterns.tolist()
    truncated = stored(np.array([0x3F80FFFF] * 4, np.uint32).view(np.float32), tensor)
    assert truncated.tolist() == [0x3F80] * 4


def test_fp32() -> None:
    tensor = replace(INT8, format="fp32", bytes=16)
    assert stored(np.arange(4), tensor).dtype == np.float32


@pytest.mark.parametrize("value", [np.zeros(5, np.int8), np.array(["a"]), np.zeros(4, complex)])
def test_wrong_arrays(value: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match="input t"):
        stored(value, INT8)
