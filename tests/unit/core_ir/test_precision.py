"""Precision plans and the vendor's mix table."""

from __future__ import annotations

import pytest
from graphs import int8_input, small_net

from cvi.errors import InputError
from cvi.ir import Graph
from cvi.precision import Precision, PrecisionPlan

INT8, BF16, MIX = Precision.INT8, Precision.BF16, Precision.MIX_BF16


def read(tmp_path, text, default=INT8, graph=None):
    (tmp_path / "table").write_bytes(text if isinstance(text, bytes) else text.encode())
    return PrecisionPlan.read(tmp_path / "table", graph or small_net(), default)


def test_names_modes_comments(tmp_path):
    plan = read(tmp_path, "# header\n\nconv\r\n  sum mix_bf16  \nfc\tBF16\nrelu INT8\n")
    assert plan == PrecisionPlan(INT8, {"conv": BF16, "sum": MIX, "fc": BF16})
    assert [plan.mode(n) for n in ("conv", "sum", "relu", "anything")] == [BF16, MIX, INT8, INT8]


def test_a_bf16_network_with_integer_layers(tmp_path):
    plan = read(tmp_path, "conv\nsum INT8\n", BF16)
    assert dict(plan.layers) == {"sum": INT8}
    assert plan.mode("conv") is BF16


def test_layer_names_with_blanks(tmp_path):
    graph = Graph("g")
    for name in ("a b", "a"):
        graph.add(int8_input(name, (1,), 1.0))
    plan = read(tmp_path, "a b\na b BF16\na INT8\n", graph=graph)
    assert dict(plan.layers) == {"a b": BF16}
    plan.write(tmp_path / "out")
    assert PrecisionPlan.read(tmp_path / "out", graph) == plan


@pytest.mark.parametrize("default", list(Precision))
def test_round_trip(tmp_path, default):
    plan = PrecisionPlan(default, {"conv": BF16, "sum": MIX, "fc": INT8, "relu": BF16})
    plan.write(tmp_path / "out")
    assert PrecisionPlan.read(tmp_path / "out", small_net(), default) == plan


def test_bf16_layers_are_written_as_bare_names(tmp_path):
    PrecisionPlan(INT8, {"conv": BF16, "sum": MIX}).write(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "conv\nsum MIX_BF16\n"


@pytest.mark.parametrize("name", ["#a", " a", "a\nb", ""])
def test_names_that_would_not_be_read_back(tmp_path, name):
    with pytest.raises(InputError, match="does not fit"):
        PrecisionPlan(INT8, {name: BF16}).write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_plans_are_immutable():
    plan = PrecisionPlan(INT8, {"conv": BF16})
    with pytest.raises(TypeError):
        plan.layers["conv"] = INT8  # type: ignore[index]
    with pytest.raises(AttributeError):
        plan.default = BF16  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("conv\ncov\n", r"line 2: .* no layer 'cov' \(did you mean conv"),
        ("xyzzy\n", "of another network"),
        ("conv FP16\n", "'FP16' is no precision .*use one of INT8, BF16, MIX_BF16"),
        ("conv\nconv INT8\n", "line 2: conv is also given as BF16"),
        (b"\xff\xfe\x00", "not a text file"),
    ],
)
def test_broken_tables(tmp_path, text, why):
    with pytest.raises(InputError, match=why):
        read(tmp_path, text)


def test_a_missing_table(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        PrecisionPlan.read(tmp_path / "absent", small_net())


def test_schemes_have_a_precision_of_their_own() -> None:
    names = ("int8", "mixed", "bf16", "MIX_BF16", "acme")
    assert [Precision.of_scheme(name) for name in names] == [INT8, INT8, BF16, MIX, INT8]
