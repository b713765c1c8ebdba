"""The layout engine, and the tables of the chips."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.errors import InstructionError
from cvi_tpu.isa.layout import Field, Layout, packed
from cvi_tpu.isa.tdma_layout import TDMA_LAYOUT
from cvi_tpu.isa.tiu_layout_182x import TIU_LAYOUT_182X

TABLES = [CV183X.tiu, TIU_LAYOUT_182X, TDMA_LAYOUT]
SMALL = packed(
    "a small descriptor",
    1,
    """
    first 3 5
    second 13
    third 8
    rest 8 1
    """,
    aliases={"neutral": "second"},
    signed=frozenset({"third"}),
)


@pytest.mark.parametrize("layout", TABLES, ids=lambda layout: layout.name)
def test_the_tables_of_the_chips_are_sound(layout: Layout) -> None:
    assert layout.problems() == []


def test_fields_follow_each_other() -> None:
    assert [(f.name, f.bit, f.width) for f in SMALL.fields] == [
        ("first", 0, 3),
        ("second", 3, 13),
        ("third", 16, 8),
        ("rest", 24, 8),
    ]


def test_unset_fields_keep_their_defaults() -> None:
    assert SMALL.pack({}) == (5 | 1 << 24).to_bytes(4, "little")
    assert SMALL.pack({"first": 0, "rest": 0}) == bytes(4)


def test_an_alias_is_another_name_of_a_field() -> None:
    assert SMALL.pack({"neutral": 77}) == SMALL.pack({"second": 77})
    assert SMALL.unpack(SMALL.pack({"second": 77})) == {
        "first": 5,
        "third": 0,
        "rest": 1,
        "neutral": 77,
    }


def test_a_negative_value_is_stored_in_twos_complement() -> None:
    assert SMALL.unpack(SMALL.pack({"third": -3}))["third"] == 253


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("first", 8, "field first of a small descriptor holds 0 to 7, not 8"),
        ("first", -1, "holds 0 to 7, not -1"),
        ("neutral", 1 << 13, "field neutral of a small descriptor holds 0 to 8191"),
        ("third", 256, "holds -128 to 255, not 256"),
        ("third", -129, "holds -128 to 255, not -129"),
    ],
)
def test_a_value_is_never_masked(name: str, value: int, expected: str) -> None:
    with pytest.raises(InstructionError, match=expected):
        SMALL.pack({name: value})


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(CviError, match="no field fourth"):
        SMALL.pack({"fourth": 1})


@pytest.mark.parametrize("size", [0, 3, 5])
def test_unpack_wants_the_whole_descriptor(size: int) -> None:
    with pytest.raises(CviError, match=f"4 bytes, not {size}"):
        SMALL.unpack(bytes(size))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ((Field("a", 0, 20), Field("b", 19, 13)), "b overlaps a at bit 19"),
        ((Field("a", 0, 16),), "do not fill"),
        ((Field("a", 0, 16), Field("b", 16, 17)), "do not fill"),
        ((Field("a", 0, 16), Field("a", 16, 16)), "a appears twice"),
        ((Field("a", 0, 32, 1 << 32),), "default of a"),
    ],
)
def test_a_broken_table_is_noticed(fields: tuple[Field, ...], problem: str) -> None:
    assert any(problem in found for found in Layout("broken", 1, fields).problems())


def test_broken_aliases_are_noticed() -> None:
    aliases = (("x", "nothing"), ("a", "a"))
    found = Layout("broken", 1, (Field("a", 0, 32),), aliases).problems()
    assert found == ["alias x of an unknown field nothing", "alias a is also a field"]


@pytest.mark.parametrize("layout", TABLES, ids=lambda layout: layout.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bytes_and_values_are_the_same_thing(layout: Layout, data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    assert layout.pack(layout.unpack(raw)) == raw
    names = data.draw(st.sets(st.sampled_from(sorted(layout.unpack(raw))), max_size=12))
    values = {name: layout.unpack(raw)[name] for name in names}
    again = layout.unpack(layout.pack(values))
    assert {name: again[name] for name in names} == values
    untouched = layout.unpack(layout.pack({}))
    field_of = dict(layout.aliases)
    touched = {field_of.get(name, name) for name in names}
    assert all(again[n] == v for n, v in untouched.items() if field_of.get(n, n) not in touched)
