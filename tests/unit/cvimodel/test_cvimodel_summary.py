"""What `cvi model dump` prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from samples import sample
from typer.testing import CliRunner

from cvi_tpu.commands.model import app
from cvi_tpu.model import Section, SectionKind, write
from cvi_tpu.model.summary import memory_need, summary


def test_memory_need() -> None:
    need = memory_need(sample())
    assert need["weights"] == 40
    assert need["commands"] == 120
    assert need["private"] == 2 * 16
    assert need["shared"] == 1024
    assert need["io"] == 2 * 4096


def test_code_of_cpu_functions_takes_no_device_memory() -> None:
    code = Section(kind=SectionKind.X86, name="functions.so", data=bytes(999))
    with_code = replace(sample(), sections=(*sample().sections, code))
    assert memory_need(with_code) == memory_need(sample())
    assert "functions.so" in "\n".join(summary(with_code))


def test_old_files_count_neurons() -> None:
    program = replace(sample().programs[0], neuron_size=5000)
    assert memory_need(replace(sample(), programs=(program,)))["private"] == 5000 + 16


def test_summary_shows_what_matters() -> None:
    text = "\n".join(summary(sample()))
    for part in ("cv183x", "1.4.0", "2024-01-01", "subfunc_0", "größe", "tpu", "cpu softmax"):
        assert part in text
    assert "100.5" in text
    assert "Program 1" in text
    assert "checksum" not in text


def test_summary_tells_of_a_changed_file() -> None:
    assert "was changed" in "\n".join(summary(replace(sample(), intact=False)))


def test_columns_line_up() -> None:
    lines = list(summary(sample()))
    start = lines.index("Tensors")
    header, rows = lines[start + 1], lines[start + 2 : start + 5]
    column = header.index("NAME")
    assert [row[column:] for row in rows] == ["in", "größe", "out"]


def test_dump_command(tmp_path: Path) -> None:
    path = tmp_path / "m.cvimodel"
    path.write_bytes(write(sample()))
    done = CliRunner().invoke(app, ["dump", str(path)])
    assert done.exit_code == 0, done.output
    assert "memory needed" in done.output
