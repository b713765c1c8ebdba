"""Random calls of the vendor's CPU functions, by name, within what they can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from cpu_cases import Case, fp32
from cvi.ir.types import Array
from cvi_tpu.model import Element
from cvi_tpu.model.arguments import Floats, Ints, Value

Rng = np.random.Generator
Maker = Callable[[Rng], Case]
MAKERS: dict[str, Maker] = {}


def makes(name: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        MAKERS[name] = maker
        return maker

    return register


def normal(rng: Rng, *shape: int, scale: float = 1.0) -> Array:
    return rng.normal(0, scale, shape).astype(np.float32)


def _shape(rng: Rng, limit: int = 7) -> tuple[int, int, int, int]:
    a, b, c, d = (int(rng.integers(1, limit)) for _ in range(4))
    return a, b, c, d


def _bytes(rng: Rng, *shape: int) -> Array:
    return rng.integers(-128, 128, shape).astype(rng.choice(np.array([np.int8, np.uint8])))


def _element(array: Array) -> Element:
    kinds = {"float32": Element.FP32, "int8": Element.INT8, "uint8": Element.UINT8}
    return kinds.get(array.dtype.name, Element.BF16)


def _chance(rng: Rng, p: float = 0.5) -> bool:
    return bool(rng.random() < p)


# -- simple ones --------------------------------------------------------------------------


@makes("preprocess")
def preprocess(rng: Rng) -> Case:
    shape = _shape(rng)
    channels = shape[1]
    arguments: dict[str, Value] = {
        "scale": float(rng.choice([1.0, 0.017, 2.5])),
        "raw_scale": float(rng.choice([0.0, 1.0, 1 / 255])),
        "mean": Floats(tuple(rng.normal(size=channels).tolist()) if _chance(rng) else ()),
        "color_order": Ints(tuple(rng.permutation(channels).tolist()) if _chance(rng) else ()),
    }
    return Case("preprocess", arguments, [normal(rng, *shape, scale=100)], [fp32(*shape)])


@makes("pixelshuffle")
def pixelshuffle(rng: Rng) -> Case:
    n, c, h, w = _shape(rng)
    r = int(rng.integers(1, 4))
    x = rng.integers(-128, 128, (n, c * r * r, h, w)).astype(np.int8)
    arguments: dict[str, Value] = {"upscale_factor": r, "mode": "DCR"}
    return Case("pixelshuffle", arguments, [x], [((n, c, h * r, w * r), Element.INT8)])


def _reduction(name: str, rng: Rng, axes: Sequence[int], reduced: Sequence[int]) -> Case:
    shape = _shape(rng)
    x = normal(rng, *shape) if _chance(rng) else _bytes(rng, *shape)
    out = tuple(1 if i in reduced else n for i, n in enumerate(shape))
    return Case(name, {"axes": Ints(tuple(axes))}, [x], [(out, _element(x))])


@makes("cpu_reduce_mean")
def reduce_mean(rng: Rng) -> Case:
    axes = rng.permutation(4)[: rng.integers(1, 5)].tolist()
    return _reduction("cpu_reduce_mean", rng, axes, axes)


@makes("reduce_l2")
def reduce_l2(rng: Rng) -> Case:
    axes = rng.permutation(4)[: rng.integers(1, 5)].tolist()
    return _reduction("reduce_l2", rng, axes, axes)


@makes("cpu_reduce_max")
def reduce_max(rng: Rng) -> Case:
    axes = rng.permutation(4)[: rng.integers(1, 3)].tolist()
    return _reduction("cpu_reduce_max", rng, axes, axes[:1])


@makes("cumsum")
def cumsum(rng: Rng) -> Case:
    shape = _shape(rng, 12)
    return Case("cumsum", {"axis": int(rng.integers(4))}, [normal(rng, *shape)], [fp32(*shape)])


@makes("softmax")
def softmax(rng: Rng) -> Case:
    shape = _shape(rng, 12)
    x = normal(rng, *shape, scale=4)
    return Case("softmax", {"axis": int(rng.integers(4))}, [x], [fp32(*shape)])


@makes("transpose")
def transpose(rng: Rng) -> Case:
    n, c, h, w = _shape(rng)
    return Case("transpose", {}, [normal(rng, n, h, w, c)], [fp32(n, c, h, w)])


@makes("embedding")
def embedding(rng: Rng) -> Case:
    rows, length, count = (int(rng.integers(1, 20)) for _ in range(3))
    table: Array = rng.integers(-(2**15), 2**15, (rows, length, 1, 1)).astype(np.int16)
    if _chance(rng):
        table = table.astype(np.int8)
    elif _chance(rng):
        table = table.view(np.uint16)
    kind = rng.choice(np.array([np.int16, np.uint16, np.int32, np.uint32]))
    indices = rng.integers(0, rows, (1, count, 1, 1)).astype(kind)
    elements = {0: Element.UINT16} if kind == np.uint16 else {}
    element = {1: Element.INT8}.get(table.itemsize, Element.INT16)
    if table.dtype == np.uint16:
        element = Element.BF16
    out = (1, count, length, 1)
    return Case("embedding", {}, [indices, table], [(out, element)], elements)


@makes("instance_norm")
def instance_norm(rng: Rng) -> Case:
    shape = _shape(rng, 9)
    gamma, beta = (normal(rng, 1, shape[1], 1, 1) for _ in range(2))
    x = normal(rng, *shape, scale=float(rng.choice([0.1, 1, 30]))) + np.float32(rng.normal())
    arguments: dict[str, Value] = {"variance_epsilon": float(rng.choice([1e-5, 1e-3]))}
    return Case("instance_norm", arguments, [x, np.abs(gamma), beta], [fp32(*shape)])


# -- argmax -------------------------------------------------------------------------------


def _argmax(rng: Rng) -> tuple[list[Array], int, int]:
    """Data and maxima, the axis, and the number of rows."""
    axis = int(rng.integers(4))
    length = int(rng.choice([1, 5, 255, 256, 257, 600]))
    shape = [int(rng.integers(1, 4)) for _ in range(axis)] + [length] + [1] * (3 - axis)
    if _chance(rng):
        data = rng.integers(-128, 100, shape).astype(np.int8)
        if _chance(rng, 0.3):
            data = np.minimum(data, -1)
    else:
        bits = (normal(rng, *shape) - np.float32(rng.choice([0, 3]))).view(np.uint32)
        data = (bits >> np.uint32(16)).astype(np.uint16)
    signed = data if data.dtype == np.int8 else data.view(np.int16)
    rows = signed.reshape(-1, length)
    starts = range(0, length, 256)
    blocks = np.stack([rows[:, s : s + 256].max(axis=1) for s in starts], axis=1)
    maxima = blocks.reshape(1, -1, 1, 1).view(data.dtype)
    return [data, maxima], axis, len(rows)


@makes("argmax")
def argmax(rng: Rng) -> Case:
    arrays, axis, rows = _argmax(rng)
    return Case("argmax", {"axis": axis}, arrays, [fp32(rows, 1, 1, 1)])


@makes("argmax_with_conf")
def argmax_with_conf(rng: Rng) -> Case:
    arrays, axis, rows = _argmax(rng)
    arguments: dict[str, Value] = {"axis": axis}
    if arrays[0].dtype == np.int8 or _chance(rng):
        arguments["scale"] = 0.037
    return Case("argmax_with_conf", arguments, arrays, [fp32(rows, 2, 1, 1)])


@makes("argmax_v3")
def argmax_v3(rng: Rng) -> Case:
    arrays, axis, rows = _argmax(rng)
    arguments: dict[str, Value] = {"axis": axis}
    if _chance(rng):
        arguments["scale"] = 0.037
    outputs = [fp32(rows, 1, 1, 1)] * int(rng.integers(1, 3))
    return Case("argmax_v3", arguments, arrays, outputs)


@makes("topk")
def topk(rng: Rng) -> Case:
    """Rows along the last dimension, sometimes along another one: then values behind it are
    not looked at."""
    axis = int(rng.integers(4))
    inner = 1 if _chance(rng, 0.8) else 2
    lead = [int(rng.integers(1, 4)) for _ in range(axis)]
    length = int(rng.choice([1, 5, 17, 100]))
    x = _levels(rng, normal(rng, *lead, length, *[inner] * (3 - axis)), 0.25)
    count = int(rng.choice([1, 3, 16, 120]))
    arguments: dict[str, Value] = {
        "K": count,
        "axis": axis,
        "sorted": True,
        "largest": _chance(rng),
    }
    return Case("topk", arguments, [x], [fp32(prod(lead), count, 1, 1)])


# -- sampling -----------------------------------------------------------------------------

MODES = (
    "align_corners",
    "half_pixel",
    "pytorch_half_pixel",
    "asymmetric",
    "nearest",
    "nearest_half_pixel",
)


@makes("interp")
def interp(rng: Rng) -> Case:
    n, c, h, w = (int(v) for v in rng.integers(1, [3, 4, 14, 14]))
    mode = str(rng.choice(MODES))
    size = int(rng.integers(1, 30)), int(rng.integers(1, 30))
    arguments: dict[str, Value] = {
        "shrink_factor": 0,
        "zoom_factor": 0,
        "pad_beg": 0,
        "pad_end": 0,
        "height": size[0],
        "width": size[1],
        "coordinate_transformation_mode": mode,
    }
    x = normal(rng, n, c, h, w)
    if mode == "align_corners":
        arguments |= _corners(rng, (h, w))
        size = _scaled((h, w), arguments, size)
    elif _chance(rng, 0.3):
        arguments |= {"height": 0, "zoom_factor": 3, "pad_beg": 2}
    if mode.startswith("nearest") and _chance(rng):
        x = rng.integers(-128, 128, x.shape).astype(np.int8)
        if _chance(rng):
            x = rng.integers(0, 2**16, x.shape).astype(np.uint16)
    return Case("interp", arguments, [x], [((n, c, *size), _element(x))])


def _corners(rng: Rng, image: tuple[int, int]) -> dict[str, Value]:
    shrink, zoom = (int(rng.choice([0, 0, 1, 2, 3])) for _ in range(2))
    pads = (0, 0) if min(image) < 4 or _chance(rng) else (-int(rng.integers(2)), -1)
    found: dict[str, Value] = {"shrink_factor": shrink, "zoom_factor": zoom}
    return found | {"pad_beg": pads[0], "pad_end": pads[1]}


def _scaled(image: tuple[int, int], a: dict[str, Any], size: tuple[int, int]) -> tuple[int, int]:
    shrink, zoom = a["shrink_factor"], a["zoom_factor"]
    if bool(shrink) == bool(zoom):
        return size
    lengths = [n + a["pad_beg"] + a["pad_end"] for n in image]
    if shrink:
        return (lengths[0] - 1) // shrink + 1, (lengths[1] - 1) // shrink + 1
    return (lengths[0] - 1) * zoom + 1, (lengths[1] - 1) * zoom + 1


@makes("grid_sampler")
def grid_sampler(rng: Rng) -> Case:
    n, c, h, w = _shape(rng)
    height, width = (int(v) for v in rng.integers(1, 9, 2))
    grid = normal(rng, n, height, width, 2)
    if _chance(rng):
        grid = np.round(grid * 4) / np.float32(4)
    arguments: dict[str, Value] = {
        "mode": int(rng.integers(2)),
        "padding_mode": int(rng.integers(3)),
        "align_corners": _chance(rng),
    }
    x = normal(rng, n, c, h, w)
    return Case("grid_sampler", arguments, [x, grid], [fp32(n, c, height, width)])


@makes("gatherelements_pt")
def gather_elements(rng: Rng) -> Case:
    shape = _shape(rng)
    axis = int(rng.integers(4))
    out = tuple(int(rng.integers(1, n + 1)) if i != axis else 5 for i, n in enumerate(shape))
    indices = rng.integers(0, shape[axis], out).astype(np.int32)
    return Case("gatherelements_pt", {"axis": axis}, [normal(rng, *shape), indices], [fp32(*out)])


@makes("gathernd_tf")
def gather_nd(rng: Rng) -> Case:
    shape = _shape(rng)
    batch = int(rng.integers(0, 3))
    length = int(rng.integers(1, 4 - batch + 1))
    count = int(rng.integers(1, 6))
    batches = list(shape[:batch])
    lead = ([*batches, count] + [1] * 3)[:3]
    limits = shape[batch : batch + length]
    indices = rng.integers(0, limits, (*lead, length)).astype(np.int32)
    out = (prod(lead), 1, 1, prod(shape[batch + length :]))
    arguments: dict[str, Value] = {"batch_dims": batch, "indice_dims": 4}
    return Case("gathernd_tf", arguments, [normal(rng, *shape), indices], [fp32(*out)])


# -- deformable convolution ---------------------------------------------------------------


def _deformable(rng: Rng) -> tuple[dict[str, Value], list[Array], tuple[int, ...]]:
    """Arguments, (image, offsets, mask), and (n, c, kh, kw, oh, ow)."""
    groups, n = (int(v) for v in rng.integers(1, 3, 2))
    c = groups * int(rng.integers(1, 4))
    kh, kw, sh, sw, dh, dw = (int(v) for v in rng.integers(1, 4, 6))
    ph, pw = (int(v) for v in rng.integers(0, 3, 2))
    h, w = (int(v) for v in rng.integers(8, 13, 2))
    oh = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    arguments: dict[str, Value] = {
        "kernel_h": kh,
        "kernel_w": kw,
        "stride_h": sh,
        "stride_w": sw,
        "padding_t": ph,
        "padding_l": pw,
        "dilation_h": dh,
        "dilation_w": dw,
        "deform_group": groups,
    }
    offsets = normal(rng, n, groups * kh * kw * 2, oh, ow, scale=2)
    mask = np.abs(normal(rng, n, groups * kh * kw, oh, ow))
    return arguments, [normal(rng, n, c, h, w), offsets, mask], (n, c, kh, kw, oh, ow)


@makes("deform_im2col")
def deform_im2col(rng: Rng) -> Case:
    arguments, arrays, (n, c, kh, kw, oh, ow) = _deformable(rng)
    return Case("deform_im2col", arguments, arrays, [fp32(n, c * kh * kw, oh, ow)])


@makes("deform_conv2d")
def deform_conv2d(rng: Rng) -> Case:
    arguments, (x, offsets, mask), (n, c, kh, kw, oh, ow) = _deformable(rng)
    out = int(rng.integers(1, 5))
    weight, bias = normal(rng, out, c, kh, kw), normal(rng, 1, out, 1, 1)
    inputs = [x, weight, bias, offsets, mask]
    return Case("deform_conv2d", arguments, inputs, [fp32(n, out, oh, ow)])


# -- detectors ----------------------------------------------------------------------------


def _levels(rng: Rng, x: Array, step: float) -> Array:
    """Sometimes rounded to a few levels, as dequantised scores are."""
    return np.round(x / step).astype(np.float32) * np.float32(step) if _chance(rng) else x


@makes("detectionoutput")
def detectionoutput(rng: Rng) -> Case:
    images, classes = (int(v) for v in rng.integers(1, [3, 6]))
    priors = int(rng.choice([1, 5, 17, 60, 300]))
    shared = _chance(rng)
    corner = rng.random((priors, 2))
    boxes = np.concatenate([corner, corner + 0.05 + 0.3 * rng.random((priors, 2))], axis=1)
    variance = np.tile([0.1, 0.1, 0.2, 0.2], (priors, 1))
    prior = np.stack([boxes, variance]).astype(np.float32).reshape(1, 2, priors * 4, 1)
    confidence = _levels(rng, rng.random((images, priors, classes)).astype(np.float32), 1 / 64)
    labels = 1 if shared else classes
    keep = int(rng.choice([1, 7, 50, 200]))
    arguments: dict[str, Value] = {
        "num_classes": classes,
        "share_location": shared,
        "background_label_id": int(rng.choice([0, 0, -1, 2])),
        "code_type": "CENTER_SIZE",
        "top_k": int(rng.choice([0, 3, 40, 400])),
        "nms_threshold": float(rng.choice([0.1, 0.45, 0.9])),
        "confidence_threshold": float(rng.choice([0.01, 0.5, 0.9, 1.5])),
        "keep_top_k": keep,
    }
    inputs = [
        normal(rng, images, priors * labels * 4, 1, 1),
        confidence.reshape(images, -1, 1, 1),
        prior,
    ]
    names = ["mbox_loc", "mbox_conf", "mbox_priorbox"] if _chance(rng) else []
    if names and _chance(rng):
        order = rng.permutation(3)
        inputs, names = [inputs[i] for i in order], [names[i] for i in order]
    outputs = [fp32(images, 1, keep + int(rng.integers(2)), 7)]
    return Case("detectionoutput", arguments, inputs, outputs, names=names)


@makes("yolo_detection")
def yolo_detection(rng: Rng) -> Case:
    tiny, classes = _chance(rng), int(rng.integers(1, 9))
    n, count = int(rng.integers(1, 3)), 2 if tiny else 3
    arguments: dict[str, Value] = {
        "net_input_h": 96,
        "net_input_w": 128,
        "nms_threshold": float(rng.choice([0.1, 0.5])),
        "obj_threshold": float(rng.choice([0.3, 0.5, 0.99])),
        "keep_topk": int(rng.choice([1, 20, 200])),
        "class_num": classes,
    }
    if tiny or _chance(rng):
        arguments["tiny"] = tiny
    if _chance(rng):
        arguments |= {"yolo_v4": _chance(rng), "spp_net": _chance(rng)}
    if _chance(rng):
        numbers = rng.integers(5, 90, count * 6).tolist()
        arguments["anchors"] = ",".join(map(str, numbers))
    maps = [_yolo_map(rng, n, classes, 2**i) for i in range(count)]
    order = rng.permutation(count)
    return Case("yolo_detection", arguments, [maps[i] for i in order], [fp32(n, 1, 200, 6)])


def _yolo_map(rng: Rng, n: int, classes: int, size: int) -> Array:
    x = normal(rng, n, 3, 5 + classes, 3 * size, 4 * size)
    x[:, :, 4] += -2.5  # few boxes
    x[:, :, 5:] *= 4
    if _chance(rng, 0.2):
        x[:, :, 5:] *= 40  # the smallest below -100
    x = _levels(rng, x, 0.25)
    return x.reshape(n, -1, 3 * size, 4 * size)


@makes("frcn_detection")
def frcn_detection(rng: Rng) -> Case:
    num, classes = int(rng.choice([1, 8, 60])), int(rng.integers(2, 6))
    corner = rng.integers(0, 200, (num, 2)).astype(np.float32)
    size = rng.integers(10, 150, (num, 2)).astype(np.float32)
    regions = np.concatenate([np.zeros((num, 1), np.float32), corner, corner + size], axis=1)
    scores = rng.random((num, classes, 1, 1)).astype(np.float32) ** 4
    scores = _levels(rng, scores / scores.sum(axis=1, keepdims=True), 1 / 32)
    arguments: dict[str, Value] = {
        "nms_threshold": float(rng.choice([0.1, 0.3, 0.7])),
        "obj_threshold": float(rng.choice([0.52, 0.7, 0.95])),
        "keep_topk": int(rng.choice([1, 10, 100])),
        "class_num": classes,
    }
    deltas = normal(rng, num, classes * 4, 1, 1, scale=0.2)
    # the second dimension decides, so a region must have more classes than 1
    inputs = [deltas, scores, regions.reshape(1, 1, num, 5)]
    order = rng.permutation(3)
    return Case("frcn_detection", arguments, [inputs[i] for i in order], [fp32(1, 1, 100, 6)])


@makes("proposal")
def proposal(rng: Rng) -> Case:
    n, h, w = (int(v) for v in rng.integers(1, [3, 8, 8]))
    scores = _levels(rng, rng.random((n, 18, h, w)).astype(np.float32), 1 / 32)
    scores[:, 9] = 0.97
    deltas = normal(rng, n, 36, h, w, scale=0.3)
    most = int(rng.choice([1, 10, 300]))
    arguments: dict[str, Value] = {
        "feat_stride": 16,
        "anchor_base_size": int(rng.choice([16, 15, 33])),
        "net_input_h": 16 * h,
        "net_input_w": 16 * w,
        "rpn_obj_threshold": float(rng.choice([0.01, 0.6, 0.95])),
        "rpn_nms_threshold": float(rng.choice([0.3, 0.7])),
        "rpn_nms_post_top_n": most,
    }
    inputs = [scores, deltas] if _chance(rng) else [deltas, scores]
    return Case("proposal", arguments, inputs, [fp32(n, 1, most, 5)])


@makes("roi_pooling")
def roi_pooling(rng: Rng) -> Case:
    n, c, h, w = (int(v) for v in rng.integers([1, 2, 1, 1], [3, 6, 16, 16]))
    num, ph, pw = (int(v) for v in rng.integers(1, [9, 5, 5]))
    corner = rng.normal(60, 80, (n, num, 2))
    regions = np.zeros((n, 1, num, 5), np.float32)
    regions[:, 0, :, 0] = rng.integers(0, n, (n, num))
    regions[:, 0, :, 1:3] = corner
    regions[:, 0, :, 3:] = corner + rng.normal(80, 60, (n, num, 2))
    arguments: dict[str, Value] = {"pooled_h": ph, "pooled_w": pw, "spatial_scale": 1 / 16}
    x = normal(rng, n, c, h, w)
    first_fits = n == 1 and _chance(rng)
    inputs = [x, regions] if first_fits else [regions, x]
    return Case("roi_pooling", arguments, inputs, [fp32(n * num, c, ph, pw)])


@makes("retinaface_detection")
def retinaface_detection(rng: Rng) -> Case:
    n, h, w = (int(v) for v in rng.integers(1, [3, 3, 3]))
    keep = int(rng.choice([1, 10, 60]))
    inputs = []
    for size in (1, 2, 4):
        score = rng.random((n, 4, h * size, w * size)).astype(np.float32)
        inputs.append(_levels(rng, score, 1 / 32))
        inputs.append(normal(rng, n, 8, h * size, w * size, scale=0.4))
        inputs.append(normal(rng, n, 20, h * size, w * size))
    arguments: dict[str, Value] = {
        "nms_threshold": float(rng.choice([0.05, 0.4])),
        "confidence_threshold": float(rng.choice([0.2, 0.8, 0.99])),
        "keep_topk": keep,
    }
    order = rng.permutation(9)
    return Case(
        "retinaface_detection", arguments, [inputs[i] for i in order], [fp32(n, 1, keep, 15)]
    )
