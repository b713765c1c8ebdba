"""The vendor's text format: what is written, what is read, what is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.errors import InputError
from mutants import text_changed

TABLE = """# genetated time: 2026-01-01 00:00:00
# histogram number: 2048
# sample number: 100
###
# op_name    threshold    min    max
data 2.6400001 -2.1179039 2.6400001
conv1 5.1234567 0.0000000 6.0000000
192_Relu6:0_Clip 0.0000100 -0.0000100 0.0000100
"""

VALUES = st.floats(-1e30, 1e30, allow_nan=False)
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1).filter(
    lambda name: not name.startswith("#")
)


def test_the_vendors_example_is_read() -> None:
    table = CalibrationTable.parse(TABLE)
    assert list(table) == ["data", "conv1", "192_Relu6:0_Clip"]
    assert table.entries["conv1"] == Threshold(5.1234567, 0.0, 6.0)
    assert table.threshold("data") == 2.6400001
    assert (table.bins, table.samples) == (2048, 100)


def test_written_lines_have_four_columns_of_seven_decimals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    table = CalibrationTable({"data": Threshold(2.64, -2.5, 2.64)}, bins=2048, samples=7)
    table.write(tmp_path / "t")
    assert (tmp_path / "t").read_bytes().decode().split("\n") == [
        "# histogram number: 2048",
        "# sample number: 7",
        "###",
        "# op_name    threshold    min    max",
        "data 2.6400000 -2.5000000 2.6400000",
        "",
    ]


def test_a_time_is_written_only_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    table = CalibrationTable({"data": Threshold(1, -1, 1)})
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert table.text().startswith("# generated time: 1970-01-02 00:00:00\n")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "9" * 40)
    assert "time" not in table.text()


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_all_line_ends_and_blanks_are_tolerated(newline: str) -> None:
    text = newline.join(["", "a\t 1.5", "  b 2 -1\t1e-2  ", "#"])
    table = CalibrationTable.parse(text)
    assert dict(table.entries) == {"a": Threshold(1.5, -1.5, 1.5), "b": Threshold(2, -1, 0.01)}


def test_weight_lines_are_kept(tmp_path: Path) -> None:
    table = CalibrationTable.parse("conv1 1 0 1\nweight conv1 0.5 0.25 0\nbitwidth conv1 8\n")
    assert table.weights == {"conv1": (0.5, 0.25, 0.0)}
    table.write(tmp_path / "t")
    assert CalibrationTable.read(tmp_path / "t").weights == table.weights


def test_layers_called_weight_or_with_blanks_survive() -> None:
    table = CalibrationTable({n: Threshold(1, 0, 1) for n in ("weight", "bitwidth", "a b", "3")})
    assert CalibrationTable.parse(table.text()).entries == table.entries


@given(st.dictionaries(NAMES, st.tuples(st.floats(1e-30, 1e30), VALUES, VALUES), min_size=1))
def test_a_written_table_reads_as_rounded(values: dict[str, tuple[float, float, float]]) -> None:
    entries = {n: Threshold(t, min(a, b), max(a, b)) for n, (t, a, b) in values.items()}
    rounded = {name: entry.rounded() for name, entry in entries.items()}
    again = CalibrationTable.parse(CalibrationTable(entries).text())
    assert again.entries == rounded
    assert CalibrationTable.parse(again.text()).entries == rounded
    for name, entry in entries.items():
        assert rounded[name].threshold == pytest.approx(entry.threshold, rel=1e-4)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("conv1", "not understood"),
        ("conv1 1.0 2.0", "not understood"),
        ("conv1 1.0 2.0 3.0 x", "not understood"),
        ("conv1 one", "not a number"),
        ("conv1 nan", "not a number"),
        ("conv1 1_0", "not a number"),
        ("conv1 1e999", "not a finite number"),
        ("conv1 0", "not positive"),
        ("conv1 -1 -1 1", "not positive"),
        ("conv1 1 2 -2", "greater than the maximum"),
        ("conv1 1\nconv1 2", "twice"),
        ("weight conv1", "weight line"),
        ("weight conv1 -1 2", "negative"),
        ("bitwidth conv1 4", "bit width 8"),
        ("a\x00b 1", "unprintable"),
    ],
)
def test_anything_else_is_an_error_with_its_line(line: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        CalibrationTable.parse(f"# head\nfirst 1\n{line}", where="my.table")
    assert caught.value.where == f"my.table, line {3 + line.count(chr(10))}"
    assert caught.value.fix


def test_a_missing_layer_is_named_with_its_neighbours() -> None:
    table = CalibrationTable.parse(TABLE, where="t")
    with pytest.raises(InputError, match=r"'conv2'.*conv1"):
        table.threshold("conv2")


@pytest.mark.parametrize("name", ["", "#x", " x", "a\nb", "weight x"])
def test_names_that_no_reader_would_find_are_not_written(name: str) -> None:
    with pytest.raises(InputError, match="cannot stand"):
        CalibrationTable({name: Threshold(1, 0, 1)}).text()


def test_unreadable_files_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        CalibrationTable.read(tmp_path / "none")
    with pytest.raises(InputError, match="cannot read"):
        CalibrationTable.read(tmp_path)
    (tmp_path / "binary").write_bytes(b"conv1 1\n\xff\xfe")
    with pytest.raises(InputError, match="line 2"):
        CalibrationTable.read(tmp_path / "binary")
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(InputError, match="no threshold"):
        CalibrationTable.read(tmp_path / "empty")
    with pytest.raises(InputError):
        CalibrationTable.parse("a 1").write(tmp_path / "no" / "such" / "folder")


def test_mutants_are_read_or_refused(tmp_path: Path) -> None:
    outcomes = set()
    for seed in range(500):
        path = tmp_path / "mutant"
        path.write_bytes(text_changed(TABLE.encode() + b"weight conv1 1 2\n", random.Random(seed)))
        try:
            table = CalibrationTable.read(path)
        except InputError as error:
            outcomes.add("refused")
            assert "mutant" in error.where
        else:
            outcomes.add("read")
            assert all(entry.threshold > 0 for entry in table.entries.values())
    assert outcomes == {"read", "refused"}
