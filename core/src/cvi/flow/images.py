"""From the user's files to network inputs: test images, data sets, npz and npy tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cvi.errors import InputError
from cvi.flow.tensors import TENSOR_SUFFIXES, read_tensors
from cvi.ir import Array, DType, Graph, Input
from cvi.preprocess.spec import Preprocess

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".pnm", ".webp", ".gif"}


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """The preprocessing options a user gave; None (or False) is "not given".

    See `Preprocess.from_options` for their meaning; single options override the preset's.
    """

    preset: str | None = None
    net_input_dims: tuple[int, ...] | None = None
    resize_dims: tuple[int, ...] | None = None
    keep_aspect_ratio: bool | None = None
    crop: str | None = None
    raw_scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_scale: float | None = None
    channel_order: str | None = None
    pixel_format: str | None = None
    gray: bool | None = None

    @property
    def given(self) -> bool:
        """Whether any option was given."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def preprocess(self, op: Input) -> Preprocess:
        """The preprocessing of one image input; sizes and channels default to its own."""
        channels, *dims = op.type.shape[1:]
        options = self._options()
        size = options.pop("net_input_dims", tuple(dims))
        if tuple(size) != tuple(dims):
            raise InputError(
                f"the network input {op.name!r} is {dims[0]},{dims[1]}, "
                f"not {','.join(map(str, size))}",
                where="--net-input-dims",
                fix="leave the option out, or give the network another size with "
                f"--input-shape {op.name}=N,{channels},H,W",
            )
        made = Preprocess.from_options(size, **{"channels": channels, **options})
        if made.channels != channels:
            raise InputError(
                f"images of {made.channels} channels do not fit the network input "
                f"{op.name!r} of {channels}",
                where="--gray" if made.channels == 1 else "--pixel-format",
                fix="give the options of the images that the network was trained with",
            )
        return made

    def _options(self) -> dict[str, Any]:
        from cvi.preprocess.presets import preset

        given = {field.name: getattr(self, field.name) for field in fields(self)}
        name = given.pop("preset")
        base = dict(preset(name).options) if name else {}
        return base | {key: value for key, value in given.items() if value is not None}


def is_image_input(op: Input) -> bool:
    """Whether an input is float, NCHW, with the channels of an image."""
    shape = op.type.shape
    return op.type.dtype is DType.FP32 and len(shape) == 4 and shape[1] in (1, 3, 4)


def with_preprocess(graph: Graph, options: ImageOptions, images_used: bool) -> Graph:
    """The graph whose image inputs know their preprocessing.

    images_used: image files will be read; then InputError lists the presets when no
    option was given, for silently wrong preprocessing makes a useless model.
    """
    if options.given:
        if not any(is_image_input(op) for op in graph.inputs):
            raise InputError(
                "preprocessing options were given, but the network has no image input",
                where=", ".join(f"{op.name}: {op.type}" for op in graph.inputs),
                fix="leave them out and give tensors as .npz files",
            )
        ops = [
            op.with_(preprocess=options.preprocess(op))
            if isinstance(op, Input) and is_image_input(op)
            else op
            for op in graph.ops
        ]
        return graph.replace(ops=ops)
    if images_used and any(op.preprocess is None for op in graph.inputs):
        raise no_preprocess()
    return graph


def no_preprocess() -> InputError:
    """The error of images without any preprocessing option."""
    from cvi.preprocess.presets import PRESETS

    known = "\n".join(f"  --preset {preset.name:<15} {preset.summary}" for preset in PRESETS)
    return InputError(
        "images are given, but not how the network wants its pixels",
        where="--preset",
        fix=f"give --mean, --std, --raw-scale, --channel-order …, or a preset:\n{known}",
    )


def uses_images(files: Sequence[Path]) -> bool:
    """Whether any of the files is an image rather than tensors."""
    return any(path.suffix.lower() not in TENSOR_SUFFIXES for path in files)


@dataclass(frozen=True)
class DataSet:
    """Samples of a calibration, each the files of one inference."""

    files: tuple[tuple[Path, ...], ...]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def uses_images(self) -> bool:
        return any(uses_images(files) for files in self.files)

    def samples(self, graph: Graph) -> Iterator[dict[str, Array]]:
        """The network inputs of every sample, loaded one at a time."""
        for files in self.files:
            yield load_inputs(graph, files)

    @classmethod
    def of_folder(cls, folder: Path, count: int) -> DataSet:
        """`count` files (0: all) spread evenly over the sorted files of a folder tree.

        Evenly, because folders are often sorted by class; always the same ones.
        """
        if not folder.is_dir():
            raise InputError("is not a folder", where=f"--dataset {folder}", fix="check the path")
        wanted = IMAGE_SUFFIXES | TENSOR_SUFFIXES
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file())
        if not found:
            raise InputError(
                "there are no images in this folder",
                where=f"--dataset {folder}",
                fix=f"files of {', '.join(sorted(wanted))} are used",
            )
        number = min(count, len(found)) if count > 0 else len(found)
        chosen = [found[i * len(found) // number] for i in range(number)]
        return cls(tuple((path,) for path in chosen))

    @classmethod
    def of_list(cls, path: Path) -> DataSet:
        """One sample per line of a text file; several inputs are separated by commas.

        Paths are relative to the working directory, else to the list's own folder.
        """
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"cannot be read: {error}", where=f"--image-list {path}", fix="give a text file"
            ) from None
        samples = [
            tuple(_listed(word.strip(), path, number) for word in line.split(","))
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
        if not samples:
            raise InputError("the list is empty", where=f"--image-list {path}", fix="add images")
        return cls(tuple(samples))


def _listed(word: str, source: Path, line: int) -> Path:
    for path in (Path(word), source.parent / word):
        if word and path.is_file():
            return path
    raise InputError(f"there is no file {word!r}", where=f"{source}, line {line}", fix="mend it")


def test_inputs(
    graph: Graph, images: Sequence[Path], data: DataSet | None = None
) -> dict[str, Array]:
    """The inputs of the comparisons: the given files, else the first of the data set."""
    files = tuple(images) or (data.files[0] if data else ())
    if not files:
        raise InputError(
            "there is nothing to verify the result with",
            where="--image",
            fix="give an image or a .npz file, or --no-verify to do without",
        )
    return load_inputs(graph, files)


def load_inputs(graph: Graph, files: Sequence[Path]) -> dict[str, Array]:
    """One array per network input: from one .npz, or from one file for each input in order."""
    if len(files) == 1 and files[0].suffix.lower() == ".npz":
        return _from_npz(graph, files[0])
    if len(files) != len(graph.inputs):
        names = ", ".join(op.name for op in graph.inputs)
        raise InputError(
            f"{len(files)} files for {len(graph.inputs)} network inputs ({names})",
            where=", ".join(map(str, files)),
            fix="give one file per input separated by commas, or one .npz with all of them",
        )
    return {op.name: _load(op, path) for op, path in zip(graph.inputs, files, strict=True)}


def _load(op: Input, path: Path) -> Array:
    if path.suffix.lower() in TENSOR_SUFFIXES:
        arrays = read_tensors(path)
        return _fitted(op, next(iter(arrays.values())), path)
    if op.preprocess is None:
        raise no_preprocess()
    from cvi.preprocess.host import load_image

    image = load_image(path, op.preprocess)
    return np.repeat(image, op.type.shape[0], axis=0)


def _from_npz(graph: Graph, path: Path) -> dict[str, Array]:
    arrays = read_tensors(path)
    if len(graph.inputs) == 1 and len(arrays) == 1:
        return {graph.inputs[0].name: _fitted(graph.inputs[0], next(iter(arrays.values())), path)}
    return {op.name: _fitted(op, _named(op, arrays, path), path) for op in graph.inputs}


def _named(op: Input, arrays: Mapping[str, Array], path: Path) -> Array:
    for name in (op.name, op.source):
        if name in arrays:
            return arrays[name]
    raise InputError(
        f"there is no tensor for the network input {op.name!r} (found: {', '.join(arrays)})",
        where=str(path),
        fix="name the arrays of the file like the network's inputs",
    )


def _fitted(op: Input, array: Array, path: Path) -> Array:
    """The array in the input's shape and type; numbers for a float input become fp32."""
    if array.shape != op.type.shape:
        if array.size != op.type.elements:
            raise InputError(
                f"a tensor of shape {list(array.shape)} does not fit the network input "
                f"{op.name!r} of {list(op.type.shape)}",
                where=str(path),
                fix="give a tensor of the network's shape",
            )
        array = array.reshape(op.type.shape)
    if op.type.dtype is DType.FP32 and array.dtype != np.float32:
        return array.astype(np.float32)
    return array
