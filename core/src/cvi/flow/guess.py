"""What preprocessing a network most likely wants, from what its file shows.

Nothing here decides anything: a guess is printed with its reason and with how far it can be
trusted, and the user chooses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Graph, Input, Op
from cvi.ops import Add, BatchNorm, Div, Mul, Scale, Sub

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_CHAIN = 4
"""Most ops at the input that are looked at."""

_YOLO_SIZES = (320, 416, 512, 608, 640, 1280)
_IMAGENET_SIZES = (128, 160, 192, 224, 227, 240, 256, 260, 299, 300, 380)
_CLASSES, _CLASSES_AND_BACKGROUND = 1000, 1001
_COCO = 80

_RANGES = {"tf-minus1-1": (-1.0, 1.0), "zero-one": (0.0, 1.0), "zero-255": (0.0, 255.0)}
"""What presets make of pixels 0 and 255."""


@dataclass(frozen=True)
class Guess:
    """options: what to type. trust: "almost sure", "probable" or "a guess"."""

    options: str
    trust: str
    why: str

    def __str__(self) -> str:
        return f"{self.options} ({self.trust}: {self.why})"


def guess(graph: Graph, op: Input) -> Guess | None:
    """The likely preprocessing of an image input, None when nothing tells."""
    layers = _first_layers(graph, op)
    return (
        _from_range(graph, op)
        or _from_arithmetic(graph, layers)
        or _from_dtype(op)
        or _from_names(op)
        or _from_shapes(graph, op)
    )


def _from_range(graph: Graph, op: Input) -> Guess | None:
    """A quantised input tells which numbers its integers stand for: those that pixels of 0
    to 255 should become."""
    own = graph.thresholds.get(op.name)
    if own is None or own.max == own.min:
        return None
    step, gray = (own.max - own.min) / 255, op.type.shape[1] == 1
    near = [
        name
        for name, (low, high) in _RANGES.items()
        if abs(low - own.min) <= step and abs(high - own.max) <= step
    ]
    exact = f"--mean {0.0 - own.min / step:.6g} --std {1 / step:.6g}"
    exact += " --gray" if gray else " --channel-order rgb"
    options = f"--preset {near[0]}, exactly {exact}" if near and not gray else exact
    why = f"the model's integers stand for {own.min:.6g} to {own.max:.6g}"
    return Guess(options, "probable", why)


def _first_layers(graph: Graph, op: Op) -> list[Op]:
    """The arithmetic with constants through which everything goes first."""
    users, layers = graph.users(), list[Op]()
    while len(layers) < _CHAIN and len(users[op.name]) == 1:
        read, op = op.name, users[op.name][0]
        if not isinstance(op, (Add, Sub, Mul, Div, Scale, BatchNorm)):
            break
        if any(name not in graph.constants for name in op.inputs if name and name != read):
            break
        layers.append(op)
    return layers


def _from_arithmetic(graph: Graph, layers: Sequence[Op]) -> Guess | None:
    """A network that normalises its pixels itself tells by the numbers what they are."""
    for op in layers:
        number = _shift(graph, op)
        if number is not None and np.allclose(np.sort(number)[::-1], _IMAGENET_MEAN, atol=0.02):
            return _zero_one(op, number)
        if number is not None and number.max() > 30:
            return _raw(op, f"subtracts {_shown(number)}", _order(number))
        factor = _factor(graph, op)
        if factor is not None and any(_near(factor, f) for f in (1 / 255, 1 / 127.5, 1 / 128)):
            return _raw(op, f"divides by {1 / factor:.6g}", "")
    if layers:
        first = layers[0]
        return Guess(
            "--preset zero-255 or none", "probable",
            f"probably raw pixels: the network's first layer {first.name!r} is a {first.kind} "
            "with constants, it normalises itself",
        )  # fmt: skip
    return None


def _shift(graph: Graph, op: Op) -> Array | None:
    """What a layer subtracts, per channel."""
    if isinstance(op, BatchNorm):
        return np.abs(graph.constants[op.inputs[3]].astype(np.float64).ravel())
    if not isinstance(op, (Sub, Add)) or len(op.inputs) != 2:
        return None
    constant = graph.constants.get(op.inputs[1])
    if constant is None or constant.size > len(_IMAGENET_MEAN) or not constant.size:
        return None
    values = constant.astype(np.float64).ravel()
    return np.asarray(-values if isinstance(op, Add) else values)


def _factor(graph: Graph, op: Op) -> float | None:
    """The one number that a layer multiplies by."""
    if not isinstance(op, (Mul, Div)) or len(op.inputs) != 2:
        return None
    constant = graph.constants.get(op.inputs[1])
    constant = graph.constants.get(op.inputs[0]) if constant is None else constant
    if constant is None or not constant.size or np.any(constant != constant.flat[0]):
        return None
    value = float(constant.flat[0])
    return (1 / value if value else None) if isinstance(op, Div) else value


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-3)


def _order(values: Array) -> str:
    """The means of photographs fall from red to blue."""
    if len(values) != len(_IMAGENET_MEAN) or abs(values[0] - values[-1]) < 1:
        return ""
    return "rgb" if values[0] > values[-1] else "bgr"


def _zero_one(op: Op, values: Array) -> Guess:
    order = "rgb" if values[0] >= values[-1] else "bgr"
    options = "--preset zero-one" + ("" if order == "rgb" else " --channel-order bgr")
    why = f"layer {op.name!r} subtracts {_shown(values)}, ImageNet's means of pixels from 0 to 1"
    return Guess(options, "almost sure", why)


def _raw(op: Op, does: str, order: str) -> Guess:
    preset = {"rgb": "zero-255", "bgr": "none"}.get(order, "zero-255")
    why = f"raw pixels: layer {op.name!r} {does}"
    if not order:
        why += "; whether they are RGB or BGR (--preset none) it does not tell"
    return Guess(f"--preset {preset}", "almost sure" if order else "probable", why)


def _shown(values: Array) -> str:
    return ", ".join(f"{v:.4g}" for v in values)


def _from_dtype(op: Input) -> Guess | None:
    if op.file_dtype not in ("uint8", "int8"):
        return None
    why = f"raw pixels: the file's input is {op.file_dtype}; RGB or BGR it does not tell"
    return Guess("--preset zero-255", "probable", why)


def _from_names(op: Input) -> Guess | None:
    """Exporters call their inputs by habit."""
    size = op.type.shape[2:]
    if op.name == "images" and max(size) in _YOLO_SIZES:
        return Guess("--preset yolo", "probable", "exports of YOLO call their input 'images'")
    if op.file_layout == "NHWC" and max(size) in _IMAGENET_SIZES:
        why = "the file's layout is NHWC, as TensorFlow's; most of its classifiers take -1 to 1"
        return Guess("--preset tf-minus1-1", "a guess", why)
    return None


def _from_shapes(graph: Graph, op: Input) -> Guess | None:
    """Well-known sizes of inputs and outputs."""
    channels, *size = op.type.shape[1:]
    outputs = [graph.type_of(name).shape for name in graph.outputs]
    if channels == 1:
        return Guess("--preset zero-one --gray", "a guess", "images of one channel")
    classes = {shape[-1] for shape in outputs if shape} if max(size) in _IMAGENET_SIZES else set()
    if _CLASSES_AND_BACKGROUND in classes:
        why = "ImageNet's classes and background, as of TensorFlow's networks"
        return Guess("--preset tf-minus1-1", "a guess", why)
    if _CLASSES in classes:
        why = "ImageNet's classes and size, as of torchvision and timm"
        return Guess("--preset imagenet-torch", "a guess", why)
    if max(size) in _YOLO_SIZES and any(_is_detection(shape) for shape in outputs):
        return Guess("--preset yolo", "a guess", "sizes of input and outputs are those of a YOLO")
    return None


def _is_detection(shape: Sequence[int]) -> bool:
    """Boxes of COCO's classes, perhaps for three anchors, along any dimension."""
    rows = (_COCO + 4, _COCO + 5, 3 * (_COCO + 5))
    return any(size in rows for size in shape[1:])
