"""Compiles the CPU function for x86-64 and for the boards, where a compiler is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILERS = {
    "x86": ("x86_64-linux-gnu-g++", "g++"),
    "aarch64": ("aarch64-linux-gnu-g++",),
}
"""Processor -> compilers that make code for it, the best first."""

OPTIONS = ("-std=c++14", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Wextra")


def build(folder: Path) -> list[Path]:
    """The libraries libacme_<processor>.so in the package of a source folder."""
    made = []
    for processor, names in COMPILERS.items():
        compiler = next(filter(None, map(shutil.which, names)), None)
        if compiler is None:
            continue
        target = folder / "src" / "acme_cpu_op" / f"libacme_{processor}.so"
        source = folder / "native" / "unit_max.cpp"
        subprocess.run([compiler, *OPTIONS, str(source), "-o", str(target)], check=True)
        made.append(target)
    return made


class Libraries(BuildHookInterface):  # type: ignore[type-arg]
    """Part of building the wheel: a machine without a compiler makes one without libraries."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        for path in build(Path(self.root)):
            build_data["artifacts"].append(path.relative_to(self.root).as_posix())
