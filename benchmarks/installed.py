"""A fresh environment with our distributions from their folders, and its size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

ONNX_TO_CV183X = (
    "core[images]",
    "plugins/frontend_onnx",
    "plugins/tpu_cv18xx",
    "plugins/chip_cv183x",
)
"""All that is needed to convert an ONNX model for the CV183x."""

_TOOLS = {"pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel"}


def install(folder: Path, packages: tuple[str, ...] = ONNX_TO_CV183X) -> Path:
    """Make a virtual environment with the packages; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    given = [str(REPOSITORY / package) for package in packages]
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *given], check=True)
    return python


def sizes(folder: Path) -> dict[str, int]:
    """Bytes by top-level name in site-packages, without pip and setuptools."""
    (site,) = folder.glob("lib/python*/site-packages")
    return {
        entry.name: _bytes(entry)
        for entry in sorted(site.iterdir())
        if entry.name.partition("-")[0].partition(".")[0] not in _TOOLS
    }


def with_and_without(found: dict[str, int], name: str) -> tuple[int, int]:
    """Bytes of everything, and of everything but the distribution `name`."""
    total = sum(found.values())
    return total, total - sum(size for entry, size in found.items() if entry.startswith(name))


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(p.lstat().st_size for p in path.rglob("*") if p.is_file())
    return path.lstat().st_size
