"""Arguments of CPU routines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cvi.errors import ModelError
from cvi_tpu.model import Floats, Ints, decode_arguments, encode_arguments
from cvi_tpu.model.arguments import Value, _Attribute, _Float, _Int, _Parameter
from cvi_tpu.model.flat import write_root

ARGUMENTS: dict[str, Value] = {
    "axis": -1,
    "share": True,
    "off": False,
    "scale": 0.25,
    "mode": "half_pixel",
    "axes": Ints((1, 2, -3)),
    "mean": Floats((0.5, -2.0)),
    "no_ints": Ints(()),
    "no_floats": Floats(()),
    "zero": 0,
    "nothing": 0.0,
    "empty": "",
}


def test_round_trip() -> None:
    back = decode_arguments(encode_arguments(ARGUMENTS))
    assert back == ARGUMENTS
    assert [type(v) for v in back.values()] == [type(v) for v in ARGUMENTS.values()]
    assert list(back) == list(ARGUMENTS)


def test_no_arguments() -> None:
    assert decode_arguments(b"") == {}
    assert decode_arguments(encode_arguments({})) == {}


def test_an_attribute_has_exactly_one_value() -> None:
    both = _Attribute(float_attr=_Float(key="a"), int_attr=_Int(key="a"))
    for attribute in (both, _Attribute()):
        data = write_root(_Parameter(attributes=(attribute,)))
        with pytest.raises(ModelError, match="not one"):
            decode_arguments(data)


def test_bytes_are_what_the_vendors_tools_read(shared: Path) -> None:
    """An independent parser of the format reads the same values."""
    sys.path.insert(0, str(shared / "vendor"))
    try:
        import cvimodel_file
    finally:
        sys.path.pop(0)
    found = {key: (kind, value) for key, kind, value in
             cvimodel_file.read_args(encode_arguments(ARGUMENTS))}  # fmt: skip
    assert found["axis"] == ("int", -1)
    assert found["share"] == ("bool", True)
    assert found["scale"] == ("float", 0.25)
    assert found["mode"] == ("str", "half_pixel")
    assert found["axes"] == ("int_array", [1, 2, -3])
    assert found["no_floats"] == ("float_array", [])
