"""How an image becomes a network input, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cvi.errors import InputError

PIXEL_FORMATS = {
    "RGB_PLANAR": 3,
    "BGR_PLANAR": 3,
    "RGB_PACKED": 3,
    "BGR_PACKED": 3,
    "GRAYSCALE": 1,
    "YUV420_PLANAR": 3,
    "YUV_NV12": 3,
    "YUV_NV21": 3,
    "RGBA_PLANAR": 4,
}
"""Channels by pixel format (FACTS_TOOLCHAIN 2.2)."""

CHANNEL_ORDERS = {"bgr": 3, "rgb": 3, "rgba": 4}
CROPS = ("center", "right")
_LARGEST = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """The preprocessing of one image input.

    Formula per channel c, after resize, crop and channel reordering
    (FACTS_TOOLCHAIN 2.1): y = (x * raw_scale / 255 - mean[c]) / std[c] * input_scale.
    mean and std are in the order of `channel_order`. Sizes are (height, width).

    crop: where the net's rectangle is cut out of the resized image, "center" or "right"
    (the last rows and columns). pixel_format and aligned: of the frames that a TPU with
    fused preprocessing is given; the float network is always fed planar fp32.
    Raises InputError for values that no image can be preprocessed with.
    """

    net_input_dims: tuple[int, int]
    resize_dims: tuple[int, int]
    keep_aspect_ratio: bool = False
    crop: str = "center"
    raw_scale: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    input_scale: float = 1.0
    channel_order: str = "bgr"
    pixel_format: str = "BGR_PLANAR"
    channels: int = 3
    aligned: bool = False

    def __post_init__(self) -> None:
        _check_dims("--net-input-dims", self.net_input_dims)
        _check_dims("--image-resize-dims", self.resize_dims)
        self._check_crop()
        self._check_format()
        self._check_numbers()

    @classmethod
    def from_options(
        cls,
        net_input_dims: Sequence[int],
        *,
        resize_dims: Sequence[int] | None = None,
        keep_aspect_ratio: bool = False,
        crop: str = "center",
        raw_scale: float = 255.0,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        input_scale: float = 1.0,
        channel_order: str | None = None,
        pixel_format: str | None = None,
        channels: int = 3,
        gray: bool = False,
        data_format: str = "nchw",
        aligned: bool = False,
    ) -> Preprocess:
        """From the options of the command line (FACTS_TOOLCHAIN 1.1, 2.1, 2.2).

        resize_dims: default net_input_dims; never smaller than these in any direction.
        mean, std: none for 0 and 1, one for all channels, or one per channel; more than
        there are channels is accepted as the guide does, the first ones count.
        channel_order: default bgr; a pixel format RGB* or BGR* overrides it.
        pixel_format: default from gray, channels, channel_order and data_format.
        YUV formats are always aligned.
        """
        net, resize = _resize_dims(net_input_dims, resize_dims)
        pixel_format, order, channels = _pixels(
            pixel_format, channel_order, 1 if gray else channels, data_format
        )
        return cls(
            net_input_dims=net,
            resize_dims=resize,
            keep_aspect_ratio=keep_aspect_ratio,
            crop=crop,
            raw_scale=float(raw_scale),
            mean=_per_channel("--mean", mean, channels, 0.0),
            std=_per_channel("--std", std, channels, 1.0),
            input_scale=float(input_scale),
            channel_order=order,
            pixel_format=pixel_format,
            channels=channels,
            aligned=aligned or pixel_format.startswith("YUV"),
        )

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Channels of the network input in order, e.g. ("b", "g", "r")."""
        return ("gray",) if self.channels == 1 else tuple(self.channel_order)

    def coefficients(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(scale[c], bias[c]) of y = x * scale - bias, x in 0..255 (FACTS_TOOLCHAIN 2.1).

        scale = raw_scale / 255 * input_scale / std, bias = mean * input_scale / std.
        """
        factors = [self.input_scale / s for s in self.std[: self.channels]]
        scale = tuple(self.raw_scale / 255 * f for f in factors)
        bias = tuple(m * f for m, f in zip(self.mean, factors, strict=False))
        return scale, bias

    def formula(self) -> str:
        """What happens to a pixel value x of 0..255, one line per channel."""
        lines = [_term(s, b) for s, b in zip(*self.coefficients(), strict=True)]
        if len(set(lines)) == 1:
            return f"{','.join(self.channel_names)}: y = {lines[0]}"
        pairs = zip(self.channel_names, lines, strict=True)
        return "\n".join(f"{name}: y = {line}" for name, line in pairs)

    def _check_crop(self) -> None:
        if any(r < n for r, n in zip(self.resize_dims, self.net_input_dims, strict=True)):
            raise InputError(
                f"an image of {_size(self.resize_dims)} does not cover the net's "
                f"{_size(self.net_input_dims)}",
                where="--image-resize-dims",
                fix="give a size at least as large as --net-input-dims",
            )
        _choose("--crop-method", self.crop, CROPS)

    def _check_format(self) -> None:
        _choose("--pixel-format", self.pixel_format, PIXEL_FORMATS)
        _choose("--channel-order", self.channel_order, CHANNEL_ORDERS)
        if PIXEL_FORMATS[self.pixel_format] != self.channels:
            fitting = [name for name, n in PIXEL_FORMATS.items() if n == self.channels]
            raise InputError(
                f"{self.pixel_format} does not have {self.channels} channels",
                where="--pixel-format",
                fix=f"one of: {', '.join(fitting)}"
                if fitting
                else "images have 1, 3 or 4 channels",
            )
        if self.channels > 1 and CHANNEL_ORDERS[self.channel_order] != self.channels:
            raise InputError(
                f"the order {self.channel_order} does not fit {self.channels} channels",
                where="--channel-order",
                fix="rgba for 4 channels, otherwise bgr or rgb",
            )

    def _check_numbers(self) -> None:
        _check_channels("--mean", self.mean, self.channels)
        _check_channels("--std", self.std, self.channels)
        if any(value == 0 for value in self.std):
            raise InputError("a standard deviation is 0", where="--std", fix="use 1 for none")
        for option, value in (("--raw-scale", self.raw_scale), ("--input-scale", self.input_scale)):
            if not math.isfinite(value) or value <= 0:
                raise InputError(
                    f"{value:g} is not a scale", where=option, fix="a number greater than 0"
                )
        if not all(map(math.isfinite, [v for part in self.coefficients() for v in part])):
            raise InputError("the scales overflow", where="--std", fix="use ordinary numbers")


def _check_dims(option: str, dims: Sequence[int]) -> None:
    good = len(dims) == 2 and all(isinstance(d, int) and 0 < d <= _LARGEST for d in dims)
    if not good:
        raise InputError(
            f"{','.join(map(str, dims))!r} is not an image size",
            where=option,
            fix=f"height,width of 1 to {_LARGEST} pixels, e.g. 224,224",
        )


def _check_channels(option: str, values: Sequence[float], channels: int) -> None:
    if len(values) < channels:
        raise InputError(
            f"{len(values)} numbers for {channels} channels",
            where=option,
            fix="give one number for all channels or one per channel",
        )
    if not all(map(math.isfinite, values)):
        raise InputError("not a finite number", where=option, fix="use ordinary numbers")


def _choose(option: str, value: str, choices: Sequence[str] | dict[str, int]) -> None:
    if value not in choices:
        raise InputError(f"unknown {value!r}", where=option, fix=f"one of: {', '.join(choices)}")


def _resize_dims(
    net: Sequence[int], resize: Sequence[int] | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Both sizes; the resize size is the element-wise maximum of the two."""
    _check_dims("--net-input-dims", net)
    if resize is None:
        return (net[0], net[1]), (net[0], net[1])
    _check_dims("--image-resize-dims", resize)
    return (net[0], net[1]), (max(net[0], resize[0]), max(net[1], resize[1]))


def _pixels(
    pixel_format: str | None, order: str | None, channels: int, data_format: str
) -> tuple[str, str, int]:
    """Pixel format, channel order and channels from what is given (FACTS_TOOLCHAIN 2.2)."""
    _choose("--data-format", data_format, ("nchw", "nhwc"))
    if order is not None:
        _choose("--channel-order", order, CHANNEL_ORDERS)
    if order == "rgba" and channels == 3:
        channels = 4
    if pixel_format is None:
        layout = "PACKED" if data_format == "nhwc" else "PLANAR"
        derived = {1: "GRAYSCALE", 4: "RGBA_PLANAR"}
        pixel_format = derived.get(channels, f"{(order or 'bgr').upper()}_{layout}")
    else:
        pixel_format = pixel_format.upper()
        _choose("--pixel-format", pixel_format, PIXEL_FORMATS)
        channels = PIXEL_FORMATS[pixel_format] if channels == 3 else channels
    prefix = pixel_format.split("_")[0].lower()
    return pixel_format, prefix if prefix in CHANNEL_ORDERS else order or "bgr", channels


def _per_channel(
    option: str, values: Sequence[float], channels: int, default: float
) -> tuple[float, ...]:
    if not values:
        return (default,) * channels
    if len(values) == 1:
        return (float(values[0]),) * channels
    _check_channels(option, values, channels)
    return tuple(map(float, values[:channels]))


def _size(dims: Sequence[int]) -> str:
    return f"{dims[0]}x{dims[1]}"


def _term(scale: float, bias: float) -> str:
    """x * scale - bias as one writes it."""
    term = "x" if scale == 1 else f"x * {scale:.8g}"
    if bias == 0:
        return term
    return f"{term} {'-' if bias > 0 else '+'} {abs(bias):.8g}"
