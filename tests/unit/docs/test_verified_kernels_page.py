"""The page of random cases: what it tells of, and putting new rows into it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from benchmarks.random_cases import CHIPS, PAGE, Outcome, kinds, merged, page, read

TEXT = PAGE.read_text()


def test_page_has_every_kernel_on_every_chip() -> None:
    found = read(TEXT)
    assert [(one.kind, one.chip) for one in found] == list(product(kinds(), CHIPS))
    assert all(one.cases and one.bytes for one in found)
    assert not any(one.differ or one.races for one in found)


def test_merging_nothing_changes_nothing() -> None:
    assert page(merged(read(TEXT), [])) == TEXT


def test_merging_replaces_and_inserts_rows_in_order() -> None:
    a, b, c = (Outcome(kind, "cv182x", 200, 1234567, 0, 0) for kind in list(kinds())[:3])
    newer = replace(b, bytes=5)
    assert merged([c, b], [newer, a]) == [a, newer, c]
    assert read(page([a, newer, c])) == [a, newer, c]
