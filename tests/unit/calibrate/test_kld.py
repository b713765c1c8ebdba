"""The KLD threshold against a literal transcription of its description."""

from __future__ import annotations

import time

import kld_literal
import numpy as np
import pytest

from cvi.calibrate.kld import divergences, kld_threshold
from cvi.errors import InputError


def distributions() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    normal = rng.standard_normal(6000)
    outlier = normal.copy()
    outlier[:3] = 60.0
    return {
        "normal": normal,
        "relu": np.maximum(normal, 0),
        "laplace": rng.laplace(size=5000),
        "outlier": outlier,
        "uniform": rng.uniform(-1, 1, 4000),
        "pixels": rng.integers(0, 256, 4000).astype(float),
        "relu6": np.clip(rng.normal(2, 4, 5000), 0, 6),
        "few": np.array([0.0, 0.5, 3.0]),
        "constant": np.full(50, -2.5),
        "gamma": rng.gamma(0.3, 2.0, 5000),
    }


@pytest.mark.parametrize("bins", [128, 512, 2048])
@pytest.mark.parametrize("name", distributions())
def test_equals_the_literal_description(name: str, bins: int) -> None:
    counts, width = kld_literal.histogram(distributions()[name], bins)
    expected = [kld_literal.divergence(counts, i) for i in range(128, bins + 1, 128)]
    found = divergences(np.array(counts))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)
    assert kld_threshold(np.array(counts), width) == kld_literal.threshold(counts, width)


def test_outliers_are_clipped_and_uniform_data_are_not() -> None:
    decay = (1e6 * np.exp(-np.arange(2048) / 60)).astype(int)
    decay[2047] = 1
    assert 256 <= kld_threshold(decay, 1.0) < 1024
    counts, width = kld_literal.histogram(distributions()["uniform"], 2048)
    assert 0.8 < kld_threshold(np.array(counts), width) < 1.001


def test_bins_beyond_int32_do_not_overflow() -> None:
    counts, width = kld_literal.histogram(distributions()["normal"], 512)
    small = kld_threshold(np.array(counts), width)
    assert kld_threshold(np.array(counts, np.int64) * 2**33, width) == small


@pytest.mark.parametrize("bins", [0, 100, 2000, 2**18])
def test_impossible_bin_numbers(bins: int) -> None:
    with pytest.raises(InputError, match="bins"):
        divergences(np.ones(bins, np.int64))


def test_a_hundred_layers_take_less_than_a_second_and_a_half() -> None:
    counts = np.random.default_rng(0).integers(0, 1000, 2048)
    start = time.process_time()
    for _ in range(100):
        divergences(counts)
    assert time.process_time() - start < 1.5
