"""The code that docs/plugins.md shows is the code of the examples."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "plugins"
PAGE = (ROOT / "docs" / "plugins.md").read_text()

SNIPPETS = re.findall(r"^`(acme-[^`]+)`\n\n((?:(?: {4}.*)?\n)+)", PAGE, re.MULTILINE)
"""File, and the indented block behind its name."""


def pieces(block: str) -> list[str]:
    """The parts of a snippet between marks of omission, as they stand in the file."""
    return [part.strip("\n") for part in re.split(r"^…$", textwrap.dedent(block), flags=re.M)]


@pytest.mark.parametrize(("name", "block"), SNIPPETS, ids=[name for name, _ in SNIPPETS])
def test_a_snippet_stands_in_its_file(name: str, block: str) -> None:
    text = (EXAMPLES / name).read_text()
    for piece in pieces(block):
        assert stands_in(piece, text), f"{name} has no\n{piece}"


def stands_in(piece: str, text: str) -> bool:
    """Whether whole lines stand in the text, at any indentation."""
    lines = f"\n{text}"
    shown = (textwrap.indent(piece, " " * depth) for depth in (0, 4, 8))
    return any(f"\n{lines_shown}\n" in lines for lines_shown in shown)


def test_a_changed_snippet_is_found() -> None:
    assert stands_in("b = 1\nc = 2", "def f():\n    b = 1\n    c = 2\n")
    assert not stands_in("b = 1\nc = 3", "def f():\n    b = 1\n    c = 2\n")
    assert not stands_in("b = ", "b = 1\n")
    assert len(SNIPPETS) >= 14


def test_every_kind_of_part_is_shown() -> None:
    shown = {name.partition("/")[2] for name, _ in SNIPPETS}
    for part in ("pyproject.toml", "plugin.py", "blend.py", "onnx.py", "int8.py", "kernel.py"):
        assert any(name.endswith(part) for name in shown)
    assert {name.partition("/")[0] for name, _ in SNIPPETS} == {
        folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()
    }


def test_every_example_has_what_a_distribution_needs() -> None:
    for folder in filter(Path.is_dir, EXAMPLES.iterdir()):
        project = (folder / "pyproject.toml").read_text()
        assert "[project.entry-points.cvi]" in project
        assert len((folder / "README.md").read_text().splitlines()) > 5
        assert list(folder.glob("src/*/plugin.py"))
