"""The few lines after a conversion, on stdout."""

from __future__ import annotations

from cvi.flow.api import Conversion


def print_conversion(result: Conversion) -> None:
    """File, size, layers, memory, and the worst similarity of every comparison."""
    rows = [
        ("written", f"{result.path} ({result.size / 1024:.1f} KiB)"),
        ("layers", f"{len(result.graph.ops)} float, {len(result.quantised.ops)} quantised"),
        *result.facts.items(),
    ]
    for stage, comparison in result.comparisons.items():
        worst = ", ".join(f"{value:.4f}" for value in comparison.worst)
        rows.append((stage, f"{len(comparison.rows)} layers, worst cos, cor, euc: {worst}"))
        if comparison.uncompared:
            rows.append(("", f"not compared: {comparison.left_open}"))
    if not result.comparisons:
        rows.append(("verified", "no, as asked by --no-verify"))
    width = max(len(title) for title, _ in rows)
    for title, text in rows:
        print(f"{title:<{width}}  {text}")
