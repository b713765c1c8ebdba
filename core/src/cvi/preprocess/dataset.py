"""Data sets: which files there are, and the network inputs that they become."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from cvi.errors import InputError
from cvi.ir import Array, Graph, Input
from cvi.preprocess.host import load_image
from cvi.preprocess.tensors import TENSOR_SUFFIXES, load_tensors

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".webp", ".gif",
)  # fmt: skip
Files = tuple[Path, ...]
"""The files of one sample: one for all inputs, or one per input."""

Sample = TypeVar("Sample")

_MAX_LIST = 1 << 26


def find_images(source: str | Path) -> list[Files]:
    """The samples of a data set, in a fixed order.

    A folder: all images and tensor files in it and below, sorted by path. An image or
    tensor file: itself. Any other file: an image list (`read_image_list`).
    """
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise InputError("no such file or folder", where=str(path), fix=_near(path))
    if path.suffix.lower() in (*IMAGE_SUFFIXES, *TENSOR_SUFFIXES):
        return [(path,)]
    return read_image_list(path)


def read_image_list(path: str | Path) -> list[Files]:
    """Samples of a list: one per line, its files separated by commas; `#` comments.

    Relative paths are relative to the working directory or else to the list's folder.
    All missing files are counted before the first error is raised.
    """
    path = Path(path)
    lines = enumerate(_text(path).splitlines(), 1)
    found = [
        (n, _files(line, path)) for n, line in lines if line.strip() and line.strip()[0] != "#"
    ]
    missing = [(n, file) for n, files in found for file in files if not file.is_file()]
    if missing:
        number, file = missing[0]
        more = f" ({len(missing)} files are missing in all)" if len(missing) > 1 else ""
        raise InputError(
            f"no such file: {str(file)[:200]!r}{more}",
            where=f"{path}, line {number}",
            fix="paths are relative to the working directory or to the list's folder",
        )
    if not found:
        raise InputError("the image list is empty", where=str(path), fix="one file per line")
    return [files for _, files in found]


def select(samples: Sequence[Files], count: int | None, seed: int = 0) -> list[Files]:
    """`count` samples drawn at random, in their old order; the same seed draws the same.

    All when count is None, 0, or not less than there are (as in the guide).
    """
    if count is not None and count < 0:
        raise InputError(f"{count} images are not possible", where="--input-num", fix="1 or more")
    if not count or count >= len(samples):
        return list(samples)
    return [samples[i] for i in sorted(_drawn(len(samples), seed)[:count])]


def shuffled(samples: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """The samples in a random order, so that any first ones stand for all; the same seed
    gives the same."""
    return [samples[i] for i in _drawn(len(samples), seed)]


def _drawn(count: int, seed: int) -> list[int]:
    """Positions in the order in which they are drawn."""
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)


def samples(
    graph: Graph, files: Iterable[Files | str | Path], batch: int | None = None
) -> Iterator[dict[str, Array]]:
    """Network inputs by input name, one dict per batch.

    Images go through the `preprocess` of their Input op; arrays are used as they are,
    with or without the batch dimension, converted to the input's type. One .npz serves
    all inputs by name (of the input or of its source tensor). batch: default that of
    the graph. A last batch that is not full is filled by repeating its samples.
    """
    sizes = {op.name: _batch(op, batch) for op in graph.inputs}
    if not sizes:
        raise InputError("the network has no inputs", where=graph.name)
    pending: dict[str, list[Array]] = {name: [] for name in sizes}
    for sample in files:
        paths = (Path(sample),) if isinstance(sample, (str, Path)) else sample
        arrays = _load(graph, paths)
        if len({len(arrays[name]) / size for name, size in sizes.items()}) > 1:
            raise InputError("the inputs have different batch sizes", where=str(paths[0]))
        for name, array in arrays.items():
            pending[name].extend(array[i : i + 1] for i in range(len(array)))
        while all(len(pending[name]) >= size for name, size in sizes.items()):
            yield {name: np.concatenate(pending[name][:size]) for name, size in sizes.items()}
            pending = {name: rows[sizes[name] :] for name, rows in pending.items()}
    if any(pending.values()):
        yield {name: _filled(rows, sizes[name]) for name, rows in pending.items()}


def _filled(rows: list[Array], size: int) -> Array:
    return np.concatenate([rows[i % len(rows)] for i in range(size)])


def _batch(op: Input, batch: int | None) -> int:
    if batch is not None and batch < 1:
        raise InputError(
            f"a batch of {batch} is not possible", where="--batch-size", fix="1 or more"
        )
    return batch or (op.type.shape[0] if op.type.shape else 1)


def _load(graph: Graph, paths: Files) -> dict[str, Array]:
    """The inputs of one sample file or line, each [any batch, ...]."""
    inputs = graph.inputs
    if len(paths) == 1 and paths[0].suffix.lower() in TENSOR_SUFFIXES:
        return _by_name(inputs, load_tensors(paths[0]), paths[0])
    if len(paths) == len(inputs):
        return {op.name: _one(op, path) for op, path in zip(inputs, paths, strict=True)}
    names = ", ".join(op.name for op in inputs)
    raise InputError(
        f"{len(paths)} files for the {len(inputs)} inputs {names}",
        where=",".join(map(str, paths)),
        fix="give one file per input, separated by commas, or one .npz with all inputs",
    )


def _one(op: Input, path: Path) -> Array:
    """One input from its own file."""
    if path.suffix.lower() in TENSOR_SUFFIXES:
        return _by_name([op], load_tensors(path), path)[op.name]
    if op.preprocess is None:
        raise InputError(
            f"input {op.name!r} is a plain tensor {list(op.type.shape)}: no preprocessing is known",
            where=str(path),
            fix="say how images become this input (--preset, --mean, ...), or give an .npz file",
        )
    return _fitted(op, load_image(path, op.preprocess), path)


def _by_name(inputs: Sequence[Input], tensors: Mapping[str, Array], path: Path) -> dict[str, Array]:
    if len(inputs) == 1 and len(tensors) == 1:
        (array,) = tensors.values()
        return {inputs[0].name: _fitted(inputs[0], array, path)}
    arrays = {}
    for op in inputs:
        key = next((name for name in (op.name, op.source) if name and name in tensors), None)
        if key is None:
            names = ", ".join(list(tensors)[:8]) or "nothing"
            near = difflib.get_close_matches(op.name, tensors, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"no tensor for input {op.name!r}; the file has {names}{hint}",
                where=str(path),
                fix=f"store it under the name {op.name!r}",
            )
        arrays[op.name] = _fitted(op, tensors[key], path)
    return arrays


def _fitted(op: Input, array: Array, path: Path) -> Array:
    """The array as [any batch, ...] in the input's element type."""
    shape = op.type.shape
    if array.shape == shape[1:]:
        array = array[None]
    if array.ndim != len(shape) or array.shape[1:] != shape[1:] or not array.size:
        raise InputError(
            f"an array {list(array.shape)} does not fit input {op.name!r} {list(shape)}",
            where=str(path),
            fix="only the batch, the first number, may differ; for images see --net-input-dims",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"NaN or infinity for input {op.name!r}", where=str(path))
    return array.astype(op.type.dtype.numpy, copy=False)


def _in_folder(folder: Path) -> list[Files]:
    suffixes = {*IMAGE_SUFFIXES, *TENSOR_SUFFIXES}
    try:
        every = sorted(p for p in folder.rglob("*") if p.is_file())
    except OSError as error:
        raise InputError(f"cannot read the folder: {error}", where=str(folder)) from None
    found: list[Files] = [(path,) for path in every if path.suffix.lower() in suffixes]
    if not found:
        seen = sorted({path.suffix or path.name for path in every})
        raise InputError(
            f"no images in this folder, only: {', '.join(seen[:8])}" if seen else "an empty folder",
            where=str(folder),
            fix=f"give a folder with {', '.join(IMAGE_SUFFIXES[:4])} ... or .npz files",
        )
    return found


def _files(line: str, source: Path) -> Files:
    words = [word.strip() for word in line.split(",")]
    return tuple(_resolved(Path(word), source) for word in words if word)


def _resolved(file: Path, source: Path) -> Path:
    try:
        beside = source.parent / file
        return beside if not file.exists() and beside.exists() else file
    except (OSError, ValueError):
        return Path("/nonexistent") / file.name.replace("\0", "?")[:100]


def _text(path: Path) -> str:
    try:
        if path.stat().st_size <= _MAX_LIST:
            return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        why = f"cannot read the image list: {error.strerror or error}"
        raise InputError(why, where=str(path), fix=_near(path)) from None
    except UnicodeDecodeError:
        pass
    raise InputError(
        "neither an image nor a list of images",
        where=str(path),
        fix="a list is a text with one file per line; images end in .jpg, .png, ...",
    )


def _near(path: Path) -> str:
    """A hint with the nearest name beside a missing path."""
    try:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    except OSError:
        return "check the path"
    return f"did you mean {path.parent / near[0]}?" if near else "check the path"
