"""Resizing of images."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import IMAGE, Value

_FLOAT = np.float32


@converts("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(node: Node) -> Value:
    x, size = node.image(node.operand(0)), node.integers(1, "the size")
    if len(size) != 2 or min(size) < 1:
        node.broken(f"size {size} is not a height and a width")
    if node.name == "RESIZE_BILINEAR":
        return node.emit(_bilinear(node, x, (size[0], size[1])), x, order=IMAGE)
    return node.emit(_nearest(node, x, (size[0], size[1])), x, order=IMAGE)


def _bilinear(node: Node, x: Value, size: tuple[int, int]) -> ops.Resize:
    aligned, half = _flags(node)
    coordinates = "align_corners" if aligned else "half_pixel" if half else "asymmetric"
    scales = (size[0] / x.shape[1], size[1] / x.shape[2])
    return ops.Resize(
        name=node.layer, size=size, scales=scales, mode="linear", coordinates=coordinates
    )


def _nearest(node: Node, x: Value, size: tuple[int, int]) -> ops.Resize:
    """TFLite multiplies by the fp32 quotient of the sizes and truncates; the op's scales
    are chosen so that it takes the very same pixels."""
    aligned, half = _flags(node)
    lengths = (x.shape[1], x.shape[2])
    op = ops.Resize(
        name=node.layer,
        size=size,
        scales=(size[0] / lengths[0], size[1] / lengths[1]),
        mode="nearest",
        coordinates="align_corners" if aligned else "half_pixel" if half else "asymmetric",
        nearest_mode="round_prefer_ceil" if aligned or half else "floor",
    )
    scales = [_exact(node, op, axis, lengths[axis], aligned, half) for axis in (0, 1)]
    return op.with_(scales=(scales[0], scales[1]))


def _exact(node: Node, op: ops.Resize, axis: int, length: int, aligned: bool, half: bool) -> float:
    wanted = nearest_pixels(length, op.size[axis], aligned, half)
    scale = _FLOAT(op.scales[axis])
    for candidate in (scale, np.nextafter(scale, _FLOAT(0)), np.nextafter(scale, _FLOAT(np.inf))):
        scales = (float(candidate), float(candidate))
        if np.array_equal(op.with_(scales=scales).nearest(axis, length), wanted):
            return float(candidate)
    node.refuse(f"takes pixels of {length} for {op.size[axis]} that no scale gives")


def nearest_pixels(length: int, size: int, aligned: bool, half: bool) -> Array:
    """The pixel of every result pixel along one axis, in fp32 as TFLite computes it.

    aligned and half together: the corners decide the scale, the half the place.
    """
    spread = aligned and size > 1
    scale = _FLOAT(length - 1) / _FLOAT(size - 1) if spread else _FLOAT(length) / _FLOAT(size)
    at = (np.arange(size, dtype=_FLOAT) + _FLOAT(0.5 if half else 0)) * scale
    index = np.floor(at + _FLOAT(0.5)) if aligned else np.floor(at)
    pixels: Array = np.clip(index, 0, length - 1).astype(np.int64)
    return pixels


def _flags(node: Node) -> tuple[bool, bool]:
    aligned, half = node.option("AlignCorners", False), node.option("HalfPixelCenters", False)
    if aligned and half:
        node.refuse("aligns both corners and half pixels")
    return bool(aligned), bool(half)
