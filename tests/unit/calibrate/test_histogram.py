"""One pass must find what two passes find."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.calibrate.histogram import Histograms, LayerHistogram
from cvi.calibrate.kld import LEVELS, kld_threshold
from cvi.errors import CviError, InputError
from cvi.ir import Array


def one_pass(parts: Iterable[Array], bins: int = 2048) -> LayerHistogram:
    histograms = Histograms(bins)
    for part in parts:
        histograms.add({"x": part})
    return histograms.layers["x"]


def two_pass(parts: list[Array], bins: int = 2048) -> tuple[Array, float]:
    """The vendor's way: the absolute maximum first, then the counts."""
    absmax = max(float(np.abs(part).max()) for part in parts)
    width = absmax / (bins - 1)
    counts = np.zeros(bins, np.int64)
    for part in parts:
        x = np.abs(part[part != 0].astype(np.float64))
        counts += np.bincount(np.floor(x / width + 0.5).astype(int), minlength=bins)
    return counts, width


def steps_apart(parts: list[Array], bins: int = 2048) -> int:
    layer = one_pass(parts, bins)
    exact, width = two_pass(parts, bins)
    step = width * LEVELS
    return abs(round((kld_threshold(layer.reduced(), width) - kld_threshold(exact, width)) / step))


@pytest.mark.parametrize(
    "kind", ["normal", "relu", "laplace", "gamma", "relu6", "growing", "mixed"]
)
@pytest.mark.parametrize("seed", range(4))
def test_thresholds_differ_by_one_bin_at_most(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    draw = {
        "normal": lambda i: rng.standard_normal(40_000),
        "relu": lambda i: np.maximum(rng.standard_normal(40_000), 0),
        "laplace": lambda i: rng.laplace(size=40_000),
        "gamma": lambda i: rng.gamma(0.5, 1.0, 40_000),
        "relu6": lambda i: np.clip(rng.normal(2, 3, 40_000), 0, 6),
        "growing": lambda i: rng.standard_normal(40_000) * 3**i,
        "mixed": lambda i: np.concatenate([rng.normal(0, 0.1, 30_000), rng.normal(4, 1, 10_000)]),
    }[kind]
    assert steps_apart([draw(i).astype(np.float32) for i in range(6)]) <= 1


def test_thresholds_of_image_pixels(shared: Path) -> None:
    from cvi.preprocess.host import load_image
    from cvi.preprocess.presets import PRESETS
    from cvi.preprocess.spec import Preprocess

    files = sorted((shared / "images" / "imagenet_val100").glob("*.JPEG"))[:10]
    for preset in PRESETS:
        preprocess = Preprocess.from_options((64, 64), **preset.options)
        images = [load_image(file, preprocess) for file in files]
        assert steps_apart(images) <= 1, preset.name


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([128, 512, 2048]),
)
def test_extremes_and_totals_are_exact(values: list[list[float]], bins: int) -> None:
    parts = [np.array(part, np.float32) for part in values]
    layer = one_pass(parts, bins)
    every = np.concatenate(parts)
    assert (layer.min, layer.max) == (every.min(), every.max())
    assert layer.absmax == np.abs(every).max()
    if layer.absmax > 1e-30:
        counts = layer.reduced()
        assert counts.shape == (bins,)
        assert counts.min() >= 0
        assert counts.sum() == np.count_nonzero(every)


def test_cumulated_counts_are_off_by_one_cut_bin_at_most() -> None:
    parts = [np.random.default_rng(i).standard_normal(200_000).astype(np.float32) for i in range(3)]
    layer = one_pass(parts)
    exact, _ = two_pass(parts)
    found = layer.reduced()
    difference = np.abs(found.cumsum() - exact.cumsum())
    step = 2.0 ** math.frexp(layer.absmax)[1] / (16 * 2048)
    every = np.abs(np.concatenate(parts))
    fullest = np.histogram(every, np.arange(0, layer.absmax + step, step))[0].max()
    assert 0 < difference.max() <= fullest
    assert difference.mean() < fullest / 16


def test_the_order_of_samples_does_not_matter() -> None:
    parts = [
        (np.random.default_rng(i).standard_normal(999) * 5**i).astype(np.float32) for i in range(6)
    ]
    forward, backward = one_pass(parts), one_pass(parts[::-1])
    np.testing.assert_array_equal(forward.reduced(), backward.reduced())


def test_a_range_far_above_the_first_one() -> None:
    layer = one_pass([np.full(10, 1e-20, np.float32), np.array([3e38, -1.0], np.float32)])
    counts = layer.reduced()
    assert (counts[0], counts[-1], counts.sum()) == (11, 1, 12)


def test_zeros_of_both_signs_are_not_counted() -> None:
    layer = one_pass([np.array([0.0, -0.0, 1.0, -1.0], np.float32)])
    assert layer.reduced().sum() == 2
    assert one_pass([np.zeros((2, 3), np.float32)]).absmax == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_name_the_layer(bad: float) -> None:
    with pytest.raises(CviError, match="NaN or infinity") as caught:
        Histograms().add({"good": np.ones(3), "conv7": np.array([1.0, bad, 2.0])})
    assert caught.value.where == "conv7"


def test_inputs_are_not_written_to_and_strides_do_not_matter() -> None:
    values = np.arange(-6.0, 6.0, dtype=np.float32).reshape(3, 4)
    values.flags.writeable = False
    np.testing.assert_array_equal(
        one_pass([values.T]).reduced(), one_pass([values.T.copy()]).reduced()
    )


def test_impossible_bins() -> None:
    with pytest.raises(InputError):
        Histograms(1000)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.99, 1.0, 1.5])
def test_what_a_threshold_clips(share: float) -> None:
    random = np.random.default_rng(5)
    parts = [(random.laplace(size=10_000) * scale).astype(np.float32) for scale in (1, 3, 2)]
    layer = one_pass(parts)
    threshold = share * layer.absmax
    beyond = np.maximum(np.abs(np.concatenate(parts).astype(np.float64)) - threshold, 0)
    assert layer.clipped(threshold) == pytest.approx(np.square(beyond).sum(), rel=0.01, abs=1e-6)


def test_nothing_is_clipped_of_zeros() -> None:
    assert one_pass([np.zeros(10, np.float32)]).clipped(0.5) == 0
