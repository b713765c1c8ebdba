"""CPU seconds of `cvi --help`: what every command costs before it does anything."""

from __future__ import annotations

from pathlib import Path

from benchmarks.flow import OURS, measured


def cpu_seconds(log: Path, repeats: int = 10) -> float:
    """The least of some runs; files are in the cache after the first one."""
    return min(measured([*OURS, "--help"], log).cpu_s for _ in range(repeats))
