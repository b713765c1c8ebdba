"""Labelled images: which class every file has, in the forms that data sets come in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cvi.errors import InputError
from cvi.preprocess.dataset import find_images

_MAX_FILE = 1 << 26
_SEPARATOR = re.compile(r"\s*[,;\t]\s*|\s+")


@dataclass(frozen=True)
class Labelled:
    """One image (or tensor file) and its class, counted from 0 as the network counts."""

    file: Path
    label: int


@dataclass(frozen=True)
class Classes:
    """The names of the classes, each line of a file: `name`, or `id other, names`."""

    numbers: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Classes:
        """A class is known by its whole line and by the line's first word."""
        numbers: dict[str, int] = {}
        lines = [line.strip() for line in _text(path, "--classes").splitlines() if line.strip()]
        for number, line in enumerate(lines):
            for name in (line, line.split()[0].rstrip(",")):
                numbers.setdefault(name, number)
        return cls(numbers)

    def number(self, word: str) -> int | None:
        """The class that a word names: an integer is itself."""
        named = self.numbers.get(word)
        return int(word) if named is None and re.fullmatch(r"-?\d{1,9}", word) else named


def read_labelled(
    dataset: Path, labels: Path | None = None, classes: Path | None = None, *, offset: int = 0
) -> list[Labelled]:
    """The images of a data set with their classes, in a fixed order.

    labels: a file that says the class of every image: lines `file class` (separated by
    blanks, tabs, commas or semicolons; a head line and `#` comments are passed over),
    lines `class` for the images in sorted order, or JSON ({file: class}, or a list of
    [file, class]). Without one the folder has a folder per class: their numbers if all are
    numbers, else their place in `classes` or in sorted order.
    classes: the names of the classes, one per line. offset: added to every class (1 for
    networks that count the background first). InputError for whatever does not fit.
    """
    known = Classes.read(classes) if classes else Classes()
    found = _by_folder(dataset, known) if labels is None else _by_file(dataset, labels, known)
    shifted = [Labelled(entry.file, entry.label + offset) for entry in found]
    below = next((entry for entry in shifted if entry.label < 0), None)
    if below:
        raise InputError(
            f"the class {below.label} is negative",
            where=str(below.file),
            fix="classes count from 0; --label-offset shifts them",
        )
    return shifted


def _by_folder(dataset: Path, classes: Classes) -> list[Labelled]:
    if not dataset.is_dir():
        raise InputError(
            "is not a folder with one folder per class",
            where=f"--dataset {dataset}",
            fix="say which class every image has with --labels FILE",
        )
    folders = sorted(path for path in dataset.iterdir() if path.is_dir())
    if not folders:
        raise InputError(
            "no labels are given, and the folder has no folder per class",
            where=f"--dataset {dataset}",
            fix="say which class every image has with --labels FILE",
        )
    numbers = _numbers_of(folders, classes)
    return [
        Labelled(file, number)
        for folder, number in zip(folders, numbers, strict=True)
        for (file,) in find_images(folder)
    ]


def _numbers_of(folders: Sequence[Path], classes: Classes) -> list[int]:
    numbers = [classes.number(folder.name) for folder in folders]
    known = [number for number in numbers if number is not None]
    if len(known) == len(folders):
        return known
    if classes.numbers:
        missing = folders[numbers.index(None)]
        raise InputError(
            f"no class is named {missing.name!r}",
            where=str(missing),
            fix="the file given with --classes must name every folder",
        )
    return list(range(len(folders)))


def _by_file(dataset: Path, labels: Path, classes: Classes) -> list[Labelled]:
    text = _text(labels, "--labels")
    if text.lstrip()[:1] in ("{", "["):
        rows = list(_json_rows(text, labels))
    else:
        rows = list(_line_rows(text, labels))
    if not rows:
        raise InputError("there are no labels in this file", where=str(labels))
    if all(file == "" for _, file, _ in rows):
        return _in_order(dataset, rows, labels, classes)
    if _is_head(rows[0], dataset, labels, classes):
        rows = rows[1:]
    return [_labelled(row, dataset, labels, classes) for row in rows]


Row = tuple[str, str, str]
"""Where it stands, the file ("" for none), the class."""


def _line_rows(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        words = _split(entry)
        yield f"{path}, line {number}", words[0], words[1]


def _split(entry: str) -> tuple[str, str]:
    """File and class; names of files may hold blanks, or commas before a tab."""
    for separator in ("\t", ";", ","):
        file, found, label = entry.rpartition(separator)
        if found:
            return file.strip().strip('"'), label.strip().strip('"')
    words = _SEPARATOR.split(entry)
    return " ".join(words[:-1]), words[-1]


def _json_rows(text: str, path: Path) -> Iterator[Row]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON: {error}", where=str(path)) from None
    pairs = list(data.items()) if isinstance(data, dict) else data
    for number, pair in enumerate(pairs):
        simple = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not simple or not all(isinstance(word, (str, int)) for word in pair):
            raise InputError(
                "is neither {file: class, …} nor [[file, class], …]",
                where=f"{path}, entry {number}",
            )
        yield f"{path}, entry {number}", str(pair[0]), str(pair[1])


def _in_order(dataset: Path, rows: Sequence[Row], labels: Path, classes: Classes) -> list[Labelled]:
    files = [file for (file,) in find_images(dataset)]
    if len(files) != len(rows):
        raise InputError(
            f"{len(rows)} classes for {len(files)} images",
            where=str(labels),
            fix="a file of classes alone is for all images in sorted order; else give "
            "lines `file class`",
        )
    return [
        Labelled(file, _class_of(where, word, classes))
        for file, (where, _, word) in zip(files, rows, strict=True)
    ]


def _is_head(row: Row, dataset: Path, labels: Path, classes: Classes) -> bool:
    """Whether the first line is a table's head: no class, and no file of that name."""
    _, file, word = row
    return classes.number(word) is None and _find(file, dataset, labels) is None


def _labelled(row: Row, dataset: Path, labels: Path, classes: Classes) -> Labelled:
    where, file, word = row
    path = _find(file, dataset, labels) if file else None
    if path is None:
        raise InputError(
            f"no such file: {file[:200]!r}",
            where=where,
            fix="lines are `file class`, with paths relative to the data set or to the list",
        )
    return Labelled(path, _class_of(where, word, classes))


def _find(file: str, dataset: Path, labels: Path) -> Path | None:
    for folder in (dataset, labels.parent):
        path = folder / file
        try:
            if path.is_file():
                return path
        except (OSError, ValueError):
            return None
    return None


def _class_of(where: str, word: str, classes: Classes) -> int:
    number = classes.number(word)
    if number is None:
        raise InputError(
            f"{word[:80]!r} is no class",
            where=where,
            fix="classes are numbers, or names that stand in the file given with --classes",
        )
    return number


def _text(path: Path, option: str) -> str:
    try:
        if path.stat().st_size > _MAX_FILE:
            raise InputError("too large for a list", where=f"{option} {path}")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        raise InputError(why, where=f"{option} {path}", fix="check the path") from None
    except UnicodeDecodeError:
        raise InputError("is not a text file", where=f"{option} {path}") from None
