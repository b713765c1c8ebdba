"""The thread count of BLAS is changed only while simulating."""

from __future__ import annotations

import numpy as np
import pytest

from cvi_tpu.sim import blas


def test_one_thread_inside_and_the_old_count_after() -> None:
    control = blas._control()
    if control is None:
        pytest.skip("numpy has no OpenBLAS of its own here")
    get, set_ = control
    before = get()
    try:
        set_(2)
        with pytest.raises(ValueError, match="inside"), blas.single_threaded():
            assert get() == 1
            raise ValueError("inside")
        assert get() == 2
    finally:
        set_(before)


def test_nothing_happens_without_openblas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_control", lambda: None)
    with blas.single_threaded():
        assert np.array_equal(np.eye(3) @ np.eye(3), np.eye(3))
