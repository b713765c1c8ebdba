"""Writes networks and weights in today's form, for OpenCV and for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cvi.ir import Array, Shape
from cvi_frontend_caffe import schema


def net_text(inputs: Mapping[str, Shape], layers: Sequence[Any], name: str = "net") -> str:
    """A prototxt of these inputs and `LayerParameter` messages, without phases and weights."""
    from google.protobuf import text_format

    net = schema.message("NetParameter")
    net.name = name
    for blob, shape in inputs.items():
        net.input.append(blob)
        net.input_shape.add().dim.extend(shape)
    for layer in layers:
        copy = net.layer.add()
        copy.CopyFrom(layer)
        for field in ("blobs", "include", "exclude", "phase", "loss_weight"):
            copy.ClearField(field)
    return str(text_format.MessageToString(net))


def caffemodel(weights: Mapping[str, Sequence[Array]]) -> bytes:
    """A `.caffemodel` of these blobs by layer, in fp32."""
    file = schema.message("WeightFile")
    for name, blobs in weights.items():
        layer = file.layer.add(name=name)
        for array in blobs:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.append(np.ascontiguousarray(array, "<f4").tobytes())
    return bytes(file.SerializeToString())
