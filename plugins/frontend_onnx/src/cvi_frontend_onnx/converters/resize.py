"""Resizing of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_onnx.converters.spatial import from_2d, pair, to_2d
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value

_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_IRRELEVANT = ("cubic_coeff_a", "exclude_outside", "extrapolation_value")
"""Attributes about cubic interpolation and cropping. exclude_outside does not change linear
interpolation: leaving out the neighbour outside gives the edge pixel, as clamping does."""


@dataclass(frozen=True)
class _Target:
    """Size and factor of every spatial dimension."""

    sizes: tuple[int, ...]
    scales: tuple[float, ...]


@converts("Upsample")
def upsample(node: Node) -> Value:
    """Opset 7 (scales as attribute) and 9 (as operand)."""
    x = node.operand(0)
    if node.opset < 9:
        scales: Sequence[float] = node.attributes.floats("scales")
    else:
        scales = _scales(node, 1)
    target = _from_scales(node, x, scales)
    mode = node.attributes.string("mode", "nearest")
    return _resized(node, x, target, _mode(node, mode), "asymmetric", "floor")


@converts("Resize")
def resize(node: Node) -> Value:
    x = node.operand(0)
    mode = _mode(node, node.attributes.string("mode", "nearest"))
    if node.opset < 11:
        target = _from_scales(node, x, _scales(node, 1))
        return _resized(node, x, target, mode, "asymmetric", _simple_nearest(node, target, mode))
    node.attributes.ignore(*_IRRELEVANT)
    coordinates = node.attributes.string("coordinate_transformation_mode", "half_pixel")
    nearest = node.attributes.string("nearest_mode", "round_prefer_floor")
    _refuse_options(node)
    target = _target(node, x)
    return _resized(node, x, target, mode, _coordinates(node, x, target, coordinates), nearest)


def _mode(node: Node, mode: str) -> str:
    if mode == "bilinear":
        return "linear"
    if mode not in ("nearest", "linear", "cubic"):
        node.broken(f"the mode is {mode!r}")
    return mode


def _simple_nearest(node: Node, target: _Target, mode: str) -> str:
    """Opset 10 leaves it open: onnxruntime rounds down, but up when it shrinks."""
    shrinks = {scale < 1 for scale in target.scales if scale != 1}
    if mode == "nearest" and len(shrinks) > 1:
        node.refuse("shrinks one dimension and enlarges another")
    return "ceil" if True in shrinks else "floor"


def _refuse_options(node: Node) -> None:
    policy = node.attributes.string("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        node.refuse(f"keep_aspect_ratio_policy {policy!r} is not supported")
    if node.attributes.flag("antialias"):
        node.refuse("antialias is not supported")


def _coordinates(node: Node, x: Value, target: _Target, name: str) -> str:
    exact = all(
        abs(size - s * n) < 1e-3
        for size, s, n in zip(target.sizes, target.scales, x.shape[2:], strict=True)
    )
    if name == "align_corners" and not exact:
        node.refuse(
            "align_corners with a fractional size, which onnx and onnxruntime compute differently"
        )
    if name in _COORDINATES:
        return name
    if name == "half_pixel_symmetric" and exact:
        return "half_pixel"
    node.refuse(f"the coordinates {name!r} are not supported")


def _target(node: Node, x: Value) -> _Target:
    """From `scales` or `sizes`, for all dimensions or for `axes`."""
    axes = node.axes_in_order(node.attributes.ints("axes", range(x.rank)), x.rank)
    if node.optional(2) is not None and node.constant(2, "scales").size:
        scales = [1.0] * x.rank
        for axis, scale in zip(axes, _scales(node, 2), strict=True):
            scales[axis] = scale
        return _from_scales(node, x, scales)
    sizes = list(x.shape)
    for axis, size in zip(axes, node.integers(3, "the sizes"), strict=True):
        sizes[axis] = size
    if node.batch is not None and sizes[0] == node.batch[0]:
        sizes[0] = x.shape[0]
    if tuple(sizes[:2]) != x.shape[:2]:
        node.refuse("resizes the batch or the channels")
    factors = tuple(new / old for new, old in zip(sizes[2:], x.shape[2:], strict=True))
    return _Target(tuple(sizes[2:]), factors)


def _scales(node: Node, index: int) -> list[float]:
    return [float(v) for v in node.constant(index, "scales").ravel()]


def _from_scales(node: Node, x: Value, scales: Sequence[float]) -> _Target:
    if len(scales) != x.rank or not all(np.isfinite(scales)) or min(scales) <= 0:
        node.broken(f"scales {tuple(scales)} do not fit {x.shape}")
    if any(scale != 1 for scale in scales[:2]):
        node.refuse("resizes the batch or the channels")
    # in fp32, as onnxruntime does: 20 * 1.65 is 33 there, but 32.9999995 in fp64
    sizes = tuple(
        int(np.float32(size) * np.float32(s))
        for size, s in zip(x.shape[2:], scales[2:], strict=True)
    )
    return _Target(sizes, tuple(scales[2:]))


def _resized(
    node: Node, x: Value, target: _Target, mode: str, coordinates: str, nearest: str
) -> Value:
    if x.rank not in (3, 4):
        node.refuse(f"works on a tensor of {x.rank} dimensions; 1-D and 2-D are supported")
    rows, columns = (*target.scales, 1.0)[:2]
    op = ops.Resize(
        name=node.layer if x.rank == 4 else node.helper("2d"),
        size=pair(target.sizes),
        scales=(rows, columns),
        mode="linear" if mode == "cubic" else mode,
        coordinates=coordinates,
        nearest_mode=nearest,
    )
    flat = to_2d(node, x)
    if mode == "cubic":
        return from_2d(node, x, _cubic(node, flat, op))
    factors = _whole_factors(op, flat)
    if factors is not None:
        return from_2d(node, x, node.emit(ops.Upsample(name=op.name, factors=factors), flat))
    return from_2d(node, x, node.emit(op, flat))


def _whole_factors(op: ops.Resize, x: Value) -> tuple[int, int] | None:
    """The factors when the op does nothing but repeat every pixel."""
    if op.mode != "nearest":
        return None
    factors = []
    for axis, length in enumerate(x.shape[2:]):
        factor, rest = divmod(op.size[axis], length)
        repeated = np.repeat(np.arange(length), factor)
        if rest or factor < 1 or not np.array_equal(op.nearest(axis, length), repeated):
            return None
        factors.append(factor)
    return factors[0], factors[1]


def _cubic(node: Node, x: Value, op: ops.Resize) -> Value:
    """The product with the interpolation's matrix along rows, then along columns."""
    a = node.attributes.number("cubic_coeff_a", -0.75)
    inside = node.attributes.flag("exclude_outside")
    for axis, length in enumerate(x.shape[2:]):
        node.will_compute((op.size[axis], length))
    high, wide = (
        _cubic_matrix(op.coordinate(axis, x.shape[2 + axis]), x.shape[2 + axis], a, inside)
        for axis in (0, 1)
    )
    turned = node.emit(ops.Permute(name=node.helper("rows_last"), order=(0, 1, 3, 2)), x)
    rows = node.emit(ops.FullyConnected(name=node.helper("rows")), turned, high)
    back = node.emit(ops.Permute(name=node.helper("columns_last"), order=(0, 1, 3, 2)), rows)
    return node.emit(ops.FullyConnected(name=op.name), back, wide)


def _cubic_matrix(at: Array, length: int, a: float, inside: bool) -> Array:
    """fp32[size, length]: the weight of every source pixel in every result pixel.

    at: the source coordinates. a: the cubic's slope at distance 1. inside: pixels outside of
    the data do not count (the others then weigh more), else they are those of the edge.
    """
    first = np.floor(at).astype(np.int64)[:, None] + np.arange(-1, 3)
    far = np.abs(at[:, None] - first).astype(np.float64)
    near = ((a + 2) * far - (a + 3)) * far * far + 1
    weights = np.where(far <= 1, near, ((far - 5) * far + 8) * far * a - 4 * a)
    weights = np.where(far < 2, weights, 0)
    if inside:
        weights = np.where((first >= 0) & (first < length), weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((len(at), length))
    np.add.at(matrix, (np.arange(len(at))[:, None], np.clip(first, 0, length - 1)), weights)
    return matrix.astype(np.float32)
