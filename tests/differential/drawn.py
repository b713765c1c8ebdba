"""Batches of random cases, the same at every call."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

T = TypeVar("T")

BATCH = 20
"""Cases that share a program, because starting the vendor's runtime takes a while."""


def drawn(strategy: st.SearchStrategy[T], count: int, batch: int = BATCH) -> list[list[T]]:
    """`count` random cases, no two alike, in batches of `batch` or less.

    Hypothesis begins with the simplest example of all and often repeats itself, so more is
    drawn than is used.
    """
    found: dict[str, T] = {}

    @settings(
        max_examples=3 * -(-count // batch) + 1,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(strategy, min_size=batch, max_size=batch))
    def collect(cases: list[T]) -> None:
        for case in cases:
            if len(found) < count:
                found.setdefault(repr(case), case)

    collect()
    assert len(found) == count, f"only {len(found)} different cases"
    cases = list(found.values())
    return [cases[start : start + batch] for start in range(0, count, batch)]
