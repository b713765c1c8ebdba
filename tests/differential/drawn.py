"""Batches of random cases, the same at every call."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

T = TypeVar("T")

BATCH = 20
"""Cases that share a program, because starting the vendor's runtime takes a while."""


def drawn(strategy: st.SearchStrategy[T], count: int, batch: int = BATCH) -> list[list[T]]:
    """`count` random cases (rounded up to whole batches of `batch`).

    Hypothesis begins with the simplest example of all, which tells nothing: it is left out.
    """
    batches: list[list[T]] = []

    @settings(
        max_examples=-(-count // batch) + 1,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(strategy, min_size=batch, max_size=batch))
    def collect(cases: list[T]) -> None:
        batches.append(cases)

    collect()
    return batches[1:]
