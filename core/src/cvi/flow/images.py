"""The user's preprocessing options, and the inputs that all comparisons use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cvi.errors import InputError
from cvi.ir import Array, DType, Graph, Input
from cvi.preprocess.dataset import Files, samples
from cvi.preprocess.spec import Preprocess
from cvi.preprocess.tensors import TENSOR_SUFFIXES


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
                f"--input-shape {op.name}={_example(op, channels)}",
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


def _example(op: Input, channels: int) -> str:
    """A shape in the layout of the model file."""
    return f"N,H,W,{channels}" if op.file_layout == "NHWC" else f"N,{channels},H,W"


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


def test_inputs(graph: Graph, images: Sequence[Path], data: Sequence[Files]) -> dict[str, Array]:
    """The inputs of the comparisons: the given files, else the first of the data set."""
    files = tuple(images) or (data[0] if data else ())
    if not files:
        raise nothing_to_verify_with()
    return next(samples(graph, [files]))


def nothing_to_verify_with() -> InputError:
    """The error of a comparison without any input."""
    return InputError(
        "there is nothing to verify the result with",
        where="--image",
        fix="give an image or a .npz file, or --no-verify to do without",
    )
