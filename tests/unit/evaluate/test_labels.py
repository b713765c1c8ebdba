"""Label files in all their forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi.errors import InputError
from cvi.evaluate.labels import read_labelled

_FILES = ("b.npy", "a.npy", "c d.npy")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in _FILES:
        np.save(folder / name, np.zeros((1, 2), np.float32))
    return folder


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "synsets.txt"
    path.write_text("n01 tench, Tinca tinca\nn02 goldfish\nn03 great white shark\n")
    return path


def _read(images: Path, text: str, **options: object) -> dict[str, int]:
    path = images.parent / "labels"
    path.write_text(text)
    found = read_labelled(images, path, **options)  # type: ignore[arg-type]
    assert all(one.file.is_file() for one in found)
    return {one.file.name: one.label for one in found}


@pytest.mark.parametrize(
    "text",
    [
        "a.npy 2\nb.npy 0\nc d.npy 1\n",
        "# a comment\n\na.npy\t2\r\nb.npy\t0\r\nc d.npy\t1\r\n",
        "a.npy,2\nb.npy, 0\nc d.npy,1",
        "file,label\na.npy,2\nb.npy,0\nc d.npy,1\n",
        'filename;class\n"a.npy";"2"\n"b.npy";0\n"c d.npy";1\n',
        "2\n0\n1\n",
        '{"a.npy": 2, "b.npy": 0, "c d.npy": 1}',
        '[["a.npy", 2], ["b.npy", "0"], ["c d.npy", 1]]',
        "images/a.npy 2\nimages/b.npy 0\nimages/c d.npy 1\n",
        "\ufeffa.npy 2\nb.npy 0\nc d.npy 1\n",
    ],
)
def test_forms_of_label_files(images: Path, text: str) -> None:
    assert _read(images, text) == {"a.npy": 2, "b.npy": 0, "c d.npy": 1}


def test_only_the_listed_images_are_taken_in_the_order_of_the_list(images: Path) -> None:
    assert list(_read(images, "b.npy 7\na.npy 1\n").items()) == [("b.npy", 7), ("a.npy", 1)]


def test_classes_by_name(images: Path, classes: Path) -> None:
    text = "a.npy,n03\nb.npy,n02 goldfish\nc d.npy,0\n"
    assert _read(images, text, classes=classes) == {"a.npy": 2, "b.npy": 1, "c d.npy": 0}


def test_an_offset_for_networks_with_a_background_class(images: Path) -> None:
    assert _read(images, "2\n0\n1\n", offset=1) == {"a.npy": 3, "b.npy": 1, "c d.npy": 2}
    with pytest.raises(InputError, match="negative"):
        _read(images, "2\n0\n1\n", offset=-1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.npy 2\nz.npy 0\n", "no such file"),
        ("a.npy 1\nb.npy cat\n", "no class"),
        ("1\n2\n", "2 classes for 3 images"),
        ("# nothing\n", "no labels"),
        ('{"a.npy": [1]}', "neither"),
        ('{"a.npy": ', "JSON"),
        ("../labels/../../etc/passwd\0 1\n", "no such file"),
    ],
)
def test_what_does_not_fit_is_refused(images: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        _read(images, text)


def _folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        np.save(root / name / f"of {name}.npy", np.zeros(1, np.float32))
    return root


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("cat", "dog", "ant"), {"ant": 0, "cat": 1, "dog": 2}),
        (("10", "2", "007"), {"10": 10, "2": 2, "007": 7}),
    ],
)
def test_a_folder_per_class(tmp_path: Path, names: tuple[str, ...], labels: object) -> None:
    found = read_labelled(_folders(tmp_path, *names))
    assert {one.file.parent.name: one.label for one in found} == labels


def test_a_folder_per_class_with_names(tmp_path: Path, classes: Path) -> None:
    found = read_labelled(_folders(tmp_path / "data", "n03", "n01"), classes=classes)
    assert {one.file.parent.name: one.label for one in found} == {"n03": 2, "n01": 0}
    with pytest.raises(InputError, match="named 'cat'"):
        read_labelled(_folders(tmp_path / "more", "cat", "n01"), classes=classes)


def test_a_folder_without_labels_is_refused(images: Path) -> None:
    with pytest.raises(InputError, match="no folder per class"):
        read_labelled(images)
