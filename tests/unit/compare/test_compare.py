"""Similarity against scipy-like textbook formulas, and the rules for whole sets."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cvi.compare import Match, Tolerance, compare_sets, compare_tensors
from cvi.errors import InputError, VerificationError

VECTORS = hnp.arrays(np.float32, 40, elements=st.floats(-1e3, 1e3, width=32))


def textbook(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    cosine = np.dot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y))
    correlation = np.corrcoef(x, y)[0, 1]
    euclidean = 1 - np.linalg.norm(x - y) / np.linalg.norm((x + y) / 2)
    return float(cosine), float(correlation), float(euclidean)


@pytest.mark.parametrize("offset", [0.0, 3.0, 1000.0])
@pytest.mark.parametrize("size", [2, 1000, 50_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_measures_are_the_textbooks(offset: float, size: int, dtype: type) -> None:
    rng = np.random.default_rng(size)
    a = (rng.standard_normal(size) + offset).astype(dtype)
    b = (a + rng.standard_normal(size) * 0.3).astype(dtype)
    np.testing.assert_allclose(compare_tensors(a, b).values, textbook(a, b), rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(VECTORS, VECTORS)
def test_measures_are_symmetric_and_bounded(a: np.ndarray, b: np.ndarray) -> None:
    forward, backward = compare_tensors(a, b), compare_tensors(b, a)
    np.testing.assert_allclose(forward.values, backward.values, rtol=1e-12, atol=1e-12)
    assert -1 <= forward.cosine <= 1
    assert -1 <= forward.correlation <= 1
    assert forward.euclidean <= 1


@settings(deadline=None)
@given(VECTORS, st.floats(0.125, 8))
def test_scaling_changes_only_the_euclidean_measure(a: np.ndarray, factor: float) -> None:
    scaled = a.astype(np.float64) * factor
    result = compare_tensors(scaled, a)
    if a.any():
        assert result.cosine == pytest.approx(1, abs=1e-9)
        expected = 1 - abs(factor - 1) / ((factor + 1) / 2)
        assert result.euclidean == pytest.approx(expected, abs=1e-9)


def test_classes() -> None:
    a = np.linspace(-1, 1, 101, dtype=np.float32)
    noise = np.where(np.arange(101) % 2, 1, -1).astype(np.float32)
    assert compare_tensors(a, a.copy()).match is Match.EQUAL
    assert compare_tensors(a, a * 1.0005).match is Match.CLOSE
    assert compare_tensors(a, a + noise * 0.005).match is Match.SIMILAR
    assert compare_tensors(a, a + noise * 0.05).match is Match.NOT_SIMILAR
    assert compare_tensors(a, a + noise * 0.05, Tolerance(0.9, 0.9, 0.8)).match is Match.SIMILAR
    assert compare_tensors(a, a[1:]).match is Match.MISSHAPED


def test_correlation_is_not_the_cosine() -> None:
    a = np.array([100.0, 101.0, 99.0, 100.0])
    b = np.array([100.0, 99.0, 101.0, 100.0])
    result = compare_tensors(a, b)
    assert result.cosine > 0.999
    assert result.correlation == pytest.approx(-1)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 0], [0, 0, 0], (1, 1, 1)),
        ([5, 5, 5], [5, 5, 5], (1, 1, 1)),
        ([0, 0, 0], [1, 1, 1], (0, 1, -1)),
        ([2, 2, 2], [1, 1, 1], (1, 1, 1 - 1 / 1.5)),
        ([0, 0, 0], [1, 2, 3], (0, 0, -1)),
        ([1, 2, 3], [-1, -2, -3], (-1, -1, -math.inf)),
        ([7], [7], (1, 1, 1)),
        ([], [], (1, 1, 1)),
    ],
)
def test_constant_zero_and_empty_tensors(
    a: list[float], b: list[float], expected: tuple[float, float, float]
) -> None:
    result = compare_tensors(np.array(a, np.float32), np.array(b, np.float32))
    assert result.values == pytest.approx(expected)


def test_constants_that_are_not_exact_in_binary_have_no_variation() -> None:
    a, b = np.full(10_007, 0.1, np.float32), np.full(10_007, 0.3, np.float32)
    assert compare_tensors(a, b).correlation == 1


def test_huge_values_do_not_overflow() -> None:
    a = np.array([3e38, -3e38, 1e38], np.float32)
    result = compare_tensors(a, a * np.float32(0.9))
    assert result.cosine == pytest.approx(1)
    assert result.euclidean == pytest.approx(1 - 0.1 / 0.95, abs=1e-5)


def test_nan_and_infinity() -> None:
    a = np.array([1, np.nan, np.inf, 2], np.float32)
    assert compare_tensors(a, a.copy()).match is Match.EQUAL
    nearly = compare_tensors(a, np.array([1, np.nan, np.inf, 2.0001], np.float32))
    assert nearly.match is Match.CLOSE
    for other in ([1, np.nan, -np.inf, 2], [1, 0, np.inf, 2], [1, np.nan, np.inf, np.nan]):
        result = compare_tensors(a, np.array(other, np.float32))
        assert result.match is Match.NOT_SIMILAR
        assert math.isnan(result.cosine)
        assert not result.within(Tolerance(-1, -1, -100))


def test_integers_and_shapes_are_compared_by_value() -> None:
    a = np.arange(-64, 64, dtype=np.int8).reshape(1, 2, 8, 8)
    assert compare_tensors(a, a.reshape(-1).astype(np.float32)).match is Match.EQUAL
    assert compare_tensors(np.uint8([200, 100]), np.uint8([100, 200])).euclidean < 1
    with pytest.raises(InputError, match="cannot be compared"):
        compare_tensors(np.array(["a"]), np.array(["b"]))


def test_tolerances_are_parsed() -> None:
    assert Tolerance.parse("0.99, 0.9,-0.5") == Tolerance(0.99, 0.9, -0.5)
    assert str(Tolerance.parse("0.99,0.99,0.98")) == "0.99,0.99,0.98"
    for text in ["", "0.99", "0.99,0.99", "a,b,c", "1,1,1,1", "nan,0,0", "1,1,1.5", "1e999,0,0"]:
        with pytest.raises(InputError) as caught:
            Tolerance.parse(text)
        assert caught.value.where == "--tolerance"


def test_a_measure_must_exceed_its_tolerance() -> None:
    a, b = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    cosine = compare_tensors(a, b).cosine
    assert not compare_tensors(a, b).within(Tolerance(cosine, -1, -9))
    assert compare_tensors(a, b, Tolerance(cosine - 1e-9, -1, -9)).match is Match.SIMILAR


def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {f"l{i}": rng.standard_normal((1, 4, 5)).astype(np.float32) for i in range(4)}


def test_the_first_bad_layer_is_first_in_execution_order() -> None:
    reference, target = layers(), layers()
    target["l3"] = -target["l3"]
    target["l1"] = target["l1"] + 1
    target = dict(reversed(target.items()))
    result = compare_sets(target, reference, Tolerance())
    assert [row.name for row in result.rows] == ["l0", "l1", "l2", "l3"]
    assert result.first_bad is result.rows[1]
    assert [row.name for row in result.failed] == ["l1", "l3"]
    assert result.worst[0] == pytest.approx(-1)
    ordered = compare_sets(target, reference, Tolerance(), order=["l3", "l2", "l1", "l0"])
    assert ordered.first_bad is not None
    assert ordered.first_bad.name == "l3"
    with pytest.raises(
        VerificationError, match=r"layer l1.*required is more than 0\.99,0\.99,0\.98"
    ):
        result.raise_if_failed("transform")
    excepted = compare_sets(target, reference, Tolerance(), excepts=["l1", "l3", "typo"])
    assert excepted.passed
    assert (excepted.excepted, excepted.unknown) == (("l1", "l3"), ("typo",))
    excepted.raise_if_failed()


@pytest.mark.parametrize("side", ["target", "reference", "both"])
def test_missing_layers_fail_by_name(side: str) -> None:
    sets = {"target": layers(), "reference": layers()}
    for name in sets if side == "both" else [side]:
        del sets[name]["l2"]
    result = compare_sets(sets["target"], sets["reference"], order=list(layers()))
    assert not result.passed
    bad = result.first_bad
    assert bad is not None
    assert (bad.name, bad.similarity.match) == ("l2", Match.MISSING)
    with pytest.raises(VerificationError, match="missing in the"):
        result.raise_if_failed()
    assert not math.isnan(result.worst[0])


def test_other_sizes_and_nothing_at_all_fail() -> None:
    result = compare_sets({"a": np.ones(3)}, {"a": np.ones((2, 2))})
    with pytest.raises(VerificationError, match=r"shape \[2, 2\]"):
        result.raise_if_failed()
    nothing = compare_sets({}, {})
    assert not nothing.passed
    assert all(map(math.isnan, nothing.worst))
    with pytest.raises(VerificationError, match="nothing was compared"):
        nothing.raise_if_failed()


def test_layers_without_reference_are_named_but_fail_nothing() -> None:
    result = replace(
        compare_sets(layers(), layers()), uncompared={"odd": "no such op", "strange": ""}
    )
    result.raise_if_failed()
    assert result.left_open == "odd, strange"
    assert result.table()[-1] == ("strange", "", "-", "-", "-", "-", "NOT COMPARED", "")
    many = replace(result, uncompared={f"l{i}": "" for i in range(11)})
    assert many.left_open == "l0, l1, l2, l3, l4, l5, l6, l7 and 3 more"


def test_the_table_has_a_heading_and_a_line_per_layer() -> None:
    reference = layers()
    target = {**layers(), "l1": reference["l1"] * np.nan}
    table = compare_sets(target, reference).table()
    assert {len(cells) for cells in table} == {8}
    assert table[1] == ("l0", "1x4x5", "1.000000", "1.000000", "1.000000", "EQUAL", "passed", "")
    assert table[2][2:] == (
        "-",
        "-",
        "-",
        "NOT_SIMILAR",
        "FAILED",
        "NaN or infinity in one of the two",
    )


def test_two_million_values_take_less_than_a_third_of_a_second() -> None:
    rng = np.random.default_rng(0)
    a = {str(i): rng.standard_normal(60_000).astype(np.float32) for i in range(40)}
    b = {
        k: v + np.float32(0.01) * rng.standard_normal(60_000).astype(np.float32)
        for k, v in a.items()
    }
    start = time.process_time()
    assert compare_sets(a, b).passed
    assert time.process_time() - start < 0.3
