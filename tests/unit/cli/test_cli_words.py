"""One spelling of option names, and the values of options."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvi.cli import parse
from cvi.cli.words import normalised
from cvi.errors import InputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--raw_scale", "1"], ["--raw-scale", "1"]),
        (["--raw_scale=1"], ["--raw-scale=1"]),
        (["--input_shape", "a_b=1,2"], ["--input-shape", "a_b=1,2"]),
        (["--input_shape=a_b=1,2"], ["--input-shape=a_b=1,2"]),
        (["my_model.onnx", "-o", "a_b"], ["my_model.onnx", "-o", "a_b"]),
        (["--gray", "true"], ["--gray"]),
        (["--gray", "no"], ["--no-gray"]),
        (["--gray"], ["--gray"]),
        (["--gray", "model.onnx"], ["--gray", "model.onnx"]),
        (["--keep_aspect_ratio=false"], ["--no-keep-aspect-ratio"]),
        (["--keep_aspect_ratio=1", "x"], ["--keep-aspect-ratio", "x"]),
        (["--gray=purple"], ["--gray=purple"]),
        (["--", "--raw_scale"], ["--", "--raw_scale"]),
        (["-1,-2"], ["-1,-2"]),
    ],
)
def test_spelling(given: list[str], expected: list[str]) -> None:
    assert normalised(given) == (expected, False)


def test_debug_is_taken_out_wherever_it_stands() -> None:
    assert normalised(["convert", "--debug", "x"]) == (["convert", "x"], True)
    assert normalised(["convert", "x", "--", "--debug"]) == (
        ["convert", "x", "--", "--debug"],
        False,
    )


def test_dims() -> None:
    assert parse.dims("--x", None) is None
    assert parse.dims("--x", "224,320") == (224, 320)
    assert parse.dims("--x", "224x320") == (224, 320)


@pytest.mark.parametrize("text", ["224", "0,1", "1,2,3", "a,b", "", "1,-2", "1.5,2", "²,2"])
def test_wrong_dims(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse.dims("--net-input-dims", text)
    assert caught.value.where == "--net-input-dims"
    assert "224,224" in caught.value.fix


def test_floats() -> None:
    assert parse.floats("--mean", None) is None
    assert parse.floats("--mean", "-0.5,1e2") == (-0.5, 100.0)


@pytest.mark.parametrize("text", ["", "a", "1,,2", "nan", "1,inf"])
def test_wrong_floats(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse.floats("--mean", text)
    assert caught.value.where == "--mean"


def test_shapes() -> None:
    found = parse.shapes("--input-shape", ["data=1,3,4,4", "a=b=7"])
    assert found == {"data": (1, 3, 4, 4), "a=b": (7,)}


@pytest.mark.parametrize("word", ["data", "=1,2", "data=", "data=1,x", "data=0"])
def test_wrong_shapes(word: str) -> None:
    with pytest.raises(InputError) as caught:
        parse.shapes("--input-shape", [word])
    assert caught.value.where == "--input-shape"


def test_names() -> None:
    assert parse.names(["a,b", "c", "a", "-", " d "]) == ("a", "b", "c", "d")
    assert parse.names([]) == ()


def test_paths_may_hold_commas_when_the_file_exists(tmp_path: Path) -> None:
    odd = tmp_path / "a,b.jpg"
    odd.write_bytes(b"")
    assert parse.paths([str(odd)]) == (odd,)
    assert parse.paths(["a.jpg,b.jpg", "c.npz"]) == (Path("a.jpg"), Path("b.jpg"), Path("c.npz"))
