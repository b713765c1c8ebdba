"""Similarity of tensors, and of whole sets of layers in execution order.

Three measures, all 1 for equal tensors (FACTS_TOOLCHAIN 8; unlike there, correlation
is Pearson's and a missing tensor is a failure, not silence):

    cosine       a.b / (|a| |b|)
    correlation  cosine of a - mean(a) and b - mean(b)
    euclidean    1 - |a - b| / |(a + b) / 2|, which can be negative
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from cvi.errors import InputError, VerificationError
from cvi.ir import Array

_CHUNK = 1 << 13  # stays in the cache, and below the size at which BLAS starts threads
_CLOSE_RTOL, _CLOSE_ATOL = 1e-3, 1e-8
_MOST_NAMES = 8


class Match(str, Enum):
    """How alike two tensors are, the best first."""

    EQUAL = "EQUAL"
    CLOSE = "CLOSE"
    SIMILAR = "SIMILAR"
    NOT_SIMILAR = "NOT_SIMILAR"
    MISSING = "MISSING"
    MISSHAPED = "MISSHAPED"

    @property
    def passed(self) -> bool:
        return self in (Match.EQUAL, Match.CLOSE, Match.SIMILAR)


@dataclass(frozen=True)
class Tolerance:
    """The least cosine, correlation and euclidean similarity; each must be exceeded."""

    cosine: float = 0.99
    correlation: float = 0.99
    euclidean: float = 0.98

    def __post_init__(self) -> None:
        for value in self.values:
            if not (math.isfinite(value) and value <= 1):
                raise InputError(
                    f"the tolerance {value:g} is not possible",
                    where="--tolerance",
                    fix="numbers up to 1, e.g. 0.99,0.99,0.98 (1 = equal)",
                )

    @property
    def values(self) -> tuple[float, float, float]:
        return (self.cosine, self.correlation, self.euclidean)

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """From "cosine,correlation,euclidean", e.g. "0.99,0.99,0.98"."""
        words = [word.strip() for word in text.split(",")]
        number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
        if len(words) != 3 or not all(map(number.fullmatch, words)):
            raise InputError(
                f"{text[:60]!r} is not a tolerance",
                where="--tolerance",
                fix="three numbers: cosine,correlation,euclidean, e.g. 0.99,0.99,0.98",
            )
        return cls(*map(float, words))

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in self.values)


@dataclass(frozen=True)
class Similarity:
    """The measures of one pair of tensors; NaN where the tensors cannot be measured."""

    cosine: float
    correlation: float
    euclidean: float
    match: Match

    @property
    def values(self) -> tuple[float, float, float]:
        return (self.cosine, self.correlation, self.euclidean)

    def within(self, tolerance: Tolerance) -> bool:
        """Equal, close, or every measure greater than the tolerance (NaN never is)."""
        if self.match in (Match.EQUAL, Match.CLOSE):
            return True
        pairs = zip(self.values, tolerance.values, strict=True)
        return self.match.passed and all(value > least for value, least in pairs)

    def __str__(self) -> str:
        return ", ".join(f"{value:.6f}" for value in self.values)


_NAN = (math.nan, math.nan, math.nan)


def compare_tensors(a: Array, b: Array, tolerance: Tolerance | None = None) -> Similarity:
    """Measure two tensors of equally many elements, in any shape and numeric type.

    EQUAL: the same values (NaN equals NaN). CLOSE: |a-b| <= 1e-3 |b| + 1e-8 everywhere.
    Otherwise SIMILAR when within the tolerance (default: `Tolerance()`). A NaN or
    infinity on one side only makes NOT_SIMILAR with measures of NaN; on both sides at
    the same places with the same value it is left out. Different sizes: MISSHAPED.
    """
    if a.size != b.size:
        return Similarity(*_NAN, Match.MISSHAPED)
    x, y = _flat(a), _flat(b)
    if np.array_equal(x, y):
        return Similarity(1.0, 1.0, 1.0, Match.EQUAL)
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.all():
        odd_x, odd_y = x[~finite], y[~finite]
        if not np.array_equal(odd_x, odd_y, equal_nan=True):
            return Similarity(*_NAN, Match.NOT_SIMILAR)
        x, y = x[finite], y[finite]
        if np.array_equal(x, y):
            return Similarity(1.0, 1.0, 1.0, Match.EQUAL)
    measures = _Sums.of(x, y).measures()
    if _close(x, y):
        return Similarity(*measures, Match.CLOSE)
    similar = Similarity(*measures, Match.SIMILAR)
    if similar.within(tolerance or Tolerance()):
        return similar
    return Similarity(*measures, Match.NOT_SIMILAR)


def _flat(array: Array) -> Array:
    """One dimension; fp32 stays, every other numeric type becomes fp64."""
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"tensors of type {array.dtype} cannot be compared", fix="give numeric arrays"
        )
    flat = array.reshape(-1)
    return flat if flat.dtype == np.float32 else flat.astype(np.float64)


def _close(x: Array, y: Array) -> bool:
    for start in range(0, x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        if not np.allclose(x[part], y[part], rtol=_CLOSE_RTOL, atol=_CLOSE_ATOL):
            return False
    return True


@dataclass(frozen=True)
class _Sums:
    """Moments of two finite vectors, both divided by their greatest magnitude.

    In fp64, chunk by chunk; nothing overflows, and the centred moments are taken of the
    deviations themselves, so that a large mean does not cancel them.
    """

    count: int
    dot: float
    norm_a: float
    norm_b: float
    difference: float
    total: float
    centred_dot: float
    centred_a: float
    centred_b: float

    @classmethod
    def of(cls, a: Array, b: Array) -> _Sums:
        peak = max(float(np.abs(v).max()) for v in (a, b)) or 1.0
        mean_a, mean_b = (float(v.mean(dtype=np.float64)) / peak for v in (a, b))
        sums = np.zeros(8)
        for start in range(0, a.size, _CHUNK):
            x = a[start : start + _CHUNK].astype(np.float64) / peak
            y = b[start : start + _CHUNK].astype(np.float64) / peak
            d, s = x - y, x + y
            sums[:5] += (x @ y, x @ x, y @ y, d @ d, s @ s)
            x -= mean_a
            y -= mean_b
            sums[5:] += (x @ y, x @ x, y @ y)
        return cls(a.size, *map(float, sums))

    def measures(self) -> tuple[float, float, float]:
        centred_a = _unless_noise(self.centred_a, self.norm_a)
        centred_b = _unless_noise(self.centred_b, self.norm_b)
        distance = 0.0 if self.difference == 0 else _ratio(self.difference, self.total / 4)
        return (
            _cosine(self.dot, self.norm_a, self.norm_b),
            _cosine(self.centred_dot, centred_a, centred_b),
            1.0 - distance,
        )


def _unless_noise(centred: float, norm: float) -> float:
    """A squared deviation, 0 when it is but rounding: the tensor is constant."""
    return centred if centred > 1e-28 * norm else 0.0


def _cosine(dot: float, norm_a: float, norm_b: float) -> float:
    """From a dot product and squared norms; two zero vectors are alike, one is not."""
    if norm_a == 0 or norm_b == 0:
        return 1.0 if norm_a == norm_b else 0.0
    return max(-1.0, min(1.0, dot / (math.sqrt(norm_a) * math.sqrt(norm_b))))


def _ratio(squared: float, by_squared: float) -> float:
    return math.sqrt(squared / by_squared) if by_squared > 0 else math.inf


@dataclass(frozen=True)
class Row:
    """One compared layer. passed: equal, close or within the tolerance."""

    name: str
    shape: tuple[int, ...]
    similarity: Similarity
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """The result for a set of layers, rows in execution order.

    excepted: names that were left out on demand. unknown: demanded exceptions that are
    in neither set. uncompared: layers for which there is no reference, each with the reason
    ("" when nobody tells).
    """

    rows: tuple[Row, ...]
    tolerance: Tolerance
    excepted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    uncompared: Mapping[str, str] = field(default_factory=dict)

    @property
    def left_open(self) -> str:
        """The layers without a reference, in words; "" when there are none."""
        more = len(self.uncompared) - _MOST_NAMES
        shown = ", ".join([*self.uncompared][:_MOST_NAMES])
        return f"{shown} and {more} more" if more > 0 else shown

    @property
    def passed(self) -> bool:
        """Whether at least one layer was compared and none failed."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def failed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.passed)

    @property
    def first_bad(self) -> Row | None:
        """The first failed layer in execution order."""
        return next((row for row in self.rows if not row.passed), None)

    @property
    def worst(self) -> tuple[float, float, float]:
        """The least cosine, correlation and euclidean of all layers that could be measured."""
        measured = [row.similarity.values for row in self.rows]
        cosine, correlation, euclidean = (
            min((v[i] for v in measured if not math.isnan(v[i])), default=math.nan)
            for i in range(3)
        )
        return cosine, correlation, euclidean

    def table(self) -> list[tuple[str, ...]]:
        """A heading and one line of text cells per layer."""
        head = ("layer", "shape", "cosine", "correlation", "euclidean", "match", "result", "note")
        open_rows = [
            (name, "", "-", "-", "-", "-", "NOT COMPARED", why)
            for name, why in self.uncompared.items()
        ]
        return [head, *map(_cells, self.rows), *open_rows]

    def raise_if_failed(self, where: str = "") -> None:
        """VerificationError that names the first bad layer; `where` is the stage or file."""
        if not self.rows:
            raise VerificationError(
                "nothing was compared",
                where=where,
                fix="give two sets that have layers in common, with fewer exceptions",
            )
        bad = self.first_bad
        if bad is None:
            return
        others = len(self.failed) - 1
        more = f" ({others} more of {len(self.rows)} layers fail)" if others else ""
        raise VerificationError(
            f"{_reason(bad, self.tolerance)}{more}",
            where=f"{where}, layer {bad.name}" if where else f"layer {bad.name}",
            fix="see the table of layers; if the difference is expected, "
            "lower --tolerance or name the layer in --excepts",
        )


def compare_sets(
    target: Mapping[str, Array],
    reference: Mapping[str, Array],
    tolerance: Tolerance | None = None,
    excepts: Collection[str] = (),
    order: Iterable[str] | None = None,
) -> Comparison:
    """Compare all layers of two sets.

    order: layer names in execution order (default: the reference's own). Names of
    `order` or of one set that are not in both are rows that fail as MISSING.
    """
    tolerance = tolerance or Tolerance()
    names = dict.fromkeys([*(order or ()), *reference, *target])
    left_out = tuple(name for name in names if name in excepts)
    rows = [
        _row(name, target.get(name), reference.get(name), tolerance)
        for name in names
        if name not in excepts
    ]
    unknown = tuple(sorted(set(excepts) - set(names)))
    return Comparison(tuple(rows), tolerance, left_out, unknown)


def _row(name: str, target: Array | None, reference: Array | None, tolerance: Tolerance) -> Row:
    if target is None or reference is None:
        sides = [s for s, a in (("target", target), ("reference", reference)) if a is None]
        present = target if target is not None else reference
        shape = () if present is None else present.shape
        missing = Similarity(*_NAN, Match.MISSING)
        return Row(name, shape, missing, False, f"missing in the {' and the '.join(sides)}")
    similarity = compare_tensors(target, reference, tolerance)
    note = ""
    if similarity.match is Match.MISSHAPED:
        note = f"the reference has shape {list(reference.shape)}"
    elif similarity.match is Match.NOT_SIMILAR and math.isnan(similarity.cosine):
        note = "NaN or infinity in one of the two"
    return Row(name, target.shape, similarity, similarity.within(tolerance), note)


def _reason(row: Row, tolerance: Tolerance) -> str:
    if row.note:
        return row.note
    return f"cosine, correlation, euclidean are {row.similarity}, required is more than {tolerance}"


def _cells(row: Row) -> tuple[str, ...]:
    values = ("-" if math.isnan(v) else f"{v:.6f}" for v in row.similarity.values)
    shape = "x".join(map(str, row.shape)) or "scalar"
    result = "passed" if row.passed else "FAILED"
    return (row.name, shape, *values, row.similarity.match.value, result, row.note)
