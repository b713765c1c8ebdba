"""How an image becomes a network input, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """The preprocessing of one image input.

    Formula per channel c, after resize, crop and channel reordering
    (FACTS_TOOLCHAIN 2.1): y = (x * raw_scale / 255 - mean[c]) / std[c] * input_scale.
    mean and std are in the order of `channel_order`. Sizes are (height, width).
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
