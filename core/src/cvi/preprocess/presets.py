"""The common preprocessings by name, so that nobody has to recall their numbers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cvi.errors import InputError


@dataclass(frozen=True)
class Preset:
    """Named options of `Preprocess.from_options`; explicit options override single ones."""

    name: str
    summary: str
    options: Mapping[str, Any]


def _preset(name: str, summary: str, options: dict[str, Any]) -> Preset:
    return Preset(name, summary, MappingProxyType(options))


_TORCH = {
    "raw_scale": 1.0,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "channel_order": "rgb",
}

PRESETS: tuple[Preset, ...] = (
    _preset("imagenet-torch", "RGB, (x / 255 - mean) / std of torchvision and timm", _TORCH),
    _preset(
        "imagenet-caffe",
        "BGR, x - (103.94, 116.78, 123.68), Caffe's ImageNet nets",
        {"mean": (103.94, 116.78, 123.68), "channel_order": "bgr"},
    ),
    _preset(
        "tf-minus1-1",
        "RGB, x / 127.5 - 1, TensorFlow's MobileNet and Inception",
        {"mean": (127.5,), "std": (127.5,), "channel_order": "rgb"},
    ),
    _preset(
        "zero-one", "RGB, x / 255, without any mean", {"raw_scale": 1.0, "channel_order": "rgb"}
    ),
    _preset("zero-255", "RGB, the pixel values as they are", {"channel_order": "rgb"}),
    _preset(
        "yolo",
        "RGB, x / 255, aspect ratio kept with a black border, YOLO v3 to v5",
        {"raw_scale": 1.0, "channel_order": "rgb", "keep_aspect_ratio": True},
    ),
    _preset(
        "yolox",
        "BGR, the pixel values as they are, aspect ratio kept, YOLOX from 0.2",
        {"channel_order": "bgr", "keep_aspect_ratio": True},
    ),
    _preset("none", "BGR, the pixel values as they are: no preprocessing", {}),
)


def preset(name: str) -> Preset:
    """The preset of that name; InputError listing all when there is none."""
    for known in PRESETS:
        if known.name == name:
            return known
    near = difflib.get_close_matches(name, [p.name for p in PRESETS], n=1)
    raise InputError(
        f"unknown preset {name!r}" + (f", did you mean {near[0]}?" if near else ""),
        where="--preset",
        fix="one of: " + ", ".join(p.name for p in PRESETS),
    )
