"""The C library's functions, against the C library where there is one."""

from __future__ import annotations

import ctypes
import ctypes.util

import numpy as np
import pytest

from cvi_tpu.libm import expf


def test_expf_is_within_one_unit_of_the_true_value() -> None:
    x = np.random.default_rng(0).uniform(-80, 80, 100_000).astype(np.float32)
    true = np.exp(x.astype(np.float64))
    assert (np.abs(expf(x) - true) <= 0.51 * np.spacing(true.astype(np.float32))).all()


def test_expf_ends_as_exp_does() -> None:
    ends = np.array([0, -200, 200, -np.inf, np.inf], np.float32)
    assert expf(ends).tolist() == [1.0, 0.0, np.inf, 0.0, np.inf]


def test_expf_equals_glibc() -> None:
    name = ctypes.util.find_library("m")
    if name is None or "libm.so.6" not in name:
        pytest.skip("no glibc here")
    library = ctypes.CDLL(name)
    library.expf.restype, library.expf.argtypes = ctypes.c_float, [ctypes.c_float]
    x = np.random.default_rng(1).uniform(-80, 10, 20_000).astype(np.float32)
    want = np.array([library.expf(float(v)) for v in x], np.float32)
    np.testing.assert_array_equal(expf(x), want)
