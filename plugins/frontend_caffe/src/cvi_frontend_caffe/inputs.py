"""What is fed to a network: its declared inputs and the layers that make data."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cvi.errors import InputError, ModelError
from cvi.ir import Array, Shape
from cvi_frontend_caffe.net import Net, NetLayer
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.values import check_elements

DATA = frozenset({
    "Input", "Data", "ImageData", "MemoryData", "HDF5Data", "WindowData", "AnnotatedData",
    "VideoData", "DummyData",
})  # fmt: skip
"""Layers that read or make what is fed to the network."""

_COLOURS = 3


@dataclass(frozen=True)
class Feeds:
    """shapes: by blob, () when the file does not tell. constants: blobs that are made up.
    labels: blobs besides the data, which only training needs."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()


def feeds(net: Net) -> Feeds:
    """The inputs of a network. A DummyData is its input when it has no other, a constant else."""
    shapes = dict(net.inputs)
    labels: set[str] = set()
    dummies: dict[str, tuple[Shape, float | None]] = {}
    for layer in net.layers:
        if layer.type == "DummyData":
            dummies.update(_dummies(layer))
        elif layer.type in DATA:
            shapes.update(_data(layer))
            labels.update(layer.tops[1:] if layer.type != "Input" else ())
    if not shapes:
        shapes = {blob: shape for blob, (shape, _) in dummies.items()}
        return Feeds(shapes, {}, frozenset([*shapes][1:]))
    constants = {blob: _filled(blob, *dummy) for blob, dummy in dummies.items()}
    return Feeds(shapes, constants, frozenset(labels))


def _filled(blob: str, shape: Shape, value: float | None) -> Array:
    if value is None:
        raise ModelError("is filled with random numbers", where=f"DummyData {blob!r}")
    check_elements(shape, f"the blob {blob!r}")
    return np.full(shape, value, np.float32)


def _dummies(layer: NetLayer) -> Iterator[tuple[str, tuple[Shape, float | None]]]:
    """Blob -> shape and the number it is filled with (None: random ones)."""
    proto = layer.proto.dummy_data_param
    shapes = [tuple(int(d) for d in shape.dim) for shape in proto.shape]
    old = zip(proto.num, proto.channels, proto.height, proto.width, strict=False)
    shapes = shapes or [tuple(map(int, dims)) for dims in old]
    fillers = list(proto.data_filler)
    if not shapes:
        raise ModelError("says no shape", where=layer.where)
    for i, top in enumerate(layer.tops):
        filler = fillers[min(i, len(fillers) - 1)] if fillers else None
        constant = filler is None or str(filler.type) == "constant"
        value = (0.0 if filler is None else float(filler.value)) if constant else None
        yield top, (shapes[min(i, len(shapes) - 1)], value)


def _data(layer: NetLayer) -> Iterator[tuple[str, Shape]]:
    """The tops of a layer that reads data; only the first one's shape can be known."""
    if layer.type == "Input":
        shapes = [tuple(int(d) for d in s.dim) for s in layer.proto.input_param.shape]
        shapes = shapes * len(layer.tops) if len(shapes) == 1 else shapes
        if shapes and len(shapes) != len(layer.tops):
            raise ModelError(
                f"has {len(shapes)} shapes for {len(layer.tops)} tops", where=layer.where
            )
        yield from zip(layer.tops, shapes or [()] * len(layer.tops), strict=True)
        return
    for i, top in enumerate(layer.tops):
        yield top, () if i else _image_shape(layer)


def _image_shape(layer: NetLayer) -> Shape:
    """[batch, channels, h, w] as far as the parameters of the old data layers tell."""
    if layer.type == "MemoryData":
        memory = Params(layer.proto.memory_data_param)
        return tuple(memory.integer(n) for n in ("batch_size", "channels", "height", "width"))
    transform = Params(layer.proto.transform_param)
    size = transform.integer("crop_size")
    if not size:
        return ()
    return 1, 1 if transform.flag("force_gray") else _COLOURS, size, size


def fixed(
    shapes: Mapping[str, Shape], *, batch: int | None, given: Mapping[str, Sequence[int]]
) -> dict[str, Shape]:
    """The shapes with those given by the user and with another batch.

    InputError for names that are no inputs and for inputs whose shape nobody tells.
    """
    for name in given:
        if name not in shapes:
            near = difflib.get_close_matches(name, shapes, n=3) or list(shapes)
            raise InputError(
                f"the network has no input {name!r}; it has {', '.join(near)}",
                where="--input-shape",
            )
    result = {name: tuple(given.get(name, shape)) for name, shape in shapes.items()}
    for name, shape in result.items():
        if not shape:
            raise InputError(
                "the file does not say how large this input is",
                where=name,
                fix=f"--input-shape {name}=1,3,H,W",
            )
        if batch is not None and name not in given:
            result[name] = (batch, *shape[1:])
    return result
