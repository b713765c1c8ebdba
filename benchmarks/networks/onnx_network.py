"""Writes networks as ONNX files: one method per layer, weights drawn from a seed.

Weights are drawn so that every convolution gives values of about unit size whatever it
reads: the builder keeps an estimate of every tensor's mean and deviation, as if its elements
were normally distributed. So activations neither grow nor vanish, however deep the network is.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cvi.ir import Array

OPSET = 13
_POOLED = 0.7
"""What is left of the deviation when many pixels are averaged: channels differ, too."""


@dataclass(frozen=True)
class Tensor:
    """A tensor under construction. channels: along axis 1. mean, deviation: estimates."""

    name: str
    channels: int
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def rms(self) -> float:
        return math.hypot(self.mean, self.deviation)


def _rectified(name: str, x: Tensor) -> Tensor:
    """max(x, 0) of a normal distribution."""
    place = x.mean / x.deviation
    density = math.exp(-(place**2) / 2) / math.sqrt(2 * math.pi)
    above = (1 + math.erf(place / math.sqrt(2))) / 2
    mean = x.mean * above + x.deviation * density
    square = x.rms**2 * above + x.mean * x.deviation * density
    return Tensor(name, x.channels, mean, math.sqrt(square - mean**2))


class OnnxNetwork:
    """A network with one image input, layer after layer.

    All images are [1, channels, height, width]; convolutions have no bias unless asked for.
    """

    def __init__(self, name: str, size: tuple[int, int], seed: int = 1) -> None:
        self.name, self._size, self._seed = name, size, seed
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def image(self) -> Tensor:
        """The network's input: RGB, of unit size after preprocessing."""
        return Tensor("input", 3)

    def conv(
        self,
        name: str,
        x: Tensor,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        group: int = 1,
        bias: bool = False,
    ) -> Tensor:
        """A square convolution that keeps the size up to its stride."""
        fan_in = x.channels // group * kernel**2
        weight = self._filters(name, (channels, x.channels // group, kernel, kernel), fan_in, x)
        operands = [x.name, weight]
        operands += [self._uniform(name, "bias", channels, 0.0, 0.1)] if bias else []
        attributes = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [kernel // 2] * 4,
            "group": group,
        }
        return Tensor(self._node("Conv", name, operands, attributes), channels)

    def batch_norm(self, name: str, x: Tensor) -> Tensor:
        """Batch normalisation with the statistics that its operand is expected to have."""
        parts = {"scale": (1.0, 0.2), "bias": (0.0, 0.2), "mean": (0.0, 0.2), "var": (1.0, 0.2)}
        operands = [
            self._uniform(name, part, x.channels, *around) for part, around in parts.items()
        ]
        return Tensor(self._node("BatchNormalization", name, [x.name, *operands]), x.channels)

    def relu(self, name: str, x: Tensor) -> Tensor:
        return _rectified(self._node("Relu", name, [x.name]), x)

    def relu6(self, name: str, x: Tensor) -> Tensor:
        low, high = (self._constant(f"{name}.{v}", np.float32(v)) for v in (0, 6))
        return _rectified(self._node("Clip", name, [x.name, low, high]), x)

    def sigmoid(self, name: str, x: Tensor) -> Tensor:
        return Tensor(self._node("Sigmoid", name, [x.name]), x.channels, 0.5, 0.2)

    def add(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        node = self._node("Add", name, [a.name, b.name])
        deviation = math.hypot(a.deviation, b.deviation)
        return Tensor(node, a.channels, a.mean + b.mean, deviation)

    def scaled(self, name: str, x: Tensor, gate: Tensor) -> Tensor:
        """Every channel times its gate."""
        node = self._node("Mul", name, [x.name, gate.name])
        mean = x.mean * gate.mean
        square = (x.rms * gate.rms) ** 2
        return Tensor(node, x.channels, mean, math.sqrt(square - mean**2))

    def max_pool(self, name: str, x: Tensor) -> Tensor:
        """The maximum of 3x3 pixels at every second place."""
        window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
        node = self._node("MaxPool", name, [x.name], window)
        return Tensor(node, x.channels, x.mean + x.deviation, x.deviation)

    def avg_pool(self, name: str, x: Tensor, stride: int) -> Tensor:
        """The mean of 3x3 pixels, those outside of the image counted as zeros."""
        window = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [1] * 4}
        node = self._node("AveragePool", name, [x.name], {**window, "count_include_pad": 1})
        return Tensor(node, x.channels, x.mean, x.deviation * _POOLED)

    def global_pool(self, name: str, x: Tensor) -> Tensor:
        node = self._node("GlobalAveragePool", name, [x.name])
        return Tensor(node, x.channels, x.mean, x.deviation * _POOLED)

    def split(self, name: str, x: Tensor, parts: int) -> list[Tensor]:
        """The channels in equal parts."""
        channels = x.channels // parts
        sizes = self._constant(f"{name}.sizes", np.array([channels] * parts, np.int64))
        names = [f"{name}_{index}" for index in range(parts)]
        node = helper.make_node("Split", [x.name, sizes], names, name, axis=1)
        self._nodes.append(node)
        return [replace(x, name=part, channels=channels) for part in names]

    def concat(self, name: str, parts: Sequence[Tensor]) -> Tensor:
        node = self._node("Concat", name, [part.name for part in parts], {"axis": 1})
        mean = sum(part.mean for part in parts) / len(parts)
        square = sum(part.rms**2 for part in parts) / len(parts)
        deviation = math.sqrt(square - mean**2)
        return Tensor(node, sum(part.channels for part in parts), mean, deviation)

    def pixel_shuffle(self, name: str, x: Tensor, height: int, width: int) -> Tensor:
        """2x2 times the size from four times the channels; height and width of the operand."""
        channels = x.channels // 4
        apart = self._reshape(f"{name}.apart", x.name, (1, channels, 2, 2, height, width))
        turned = self._node("Transpose", f"{name}.turn", [apart], {"perm": [0, 1, 4, 2, 5, 3]})
        joined = self._reshape(name, turned, (1, channels, 2 * height, 2 * width))
        return replace(x, name=joined, channels=channels)

    def neighbours(self, name: str, x: Tensor, kernel: int) -> Tensor:
        """A convolution along the channels of a pooled image, one filter for all."""
        row = self._reshape(f"{name}.row", x.name, (1, 1, x.channels))
        weight = self._filters(name, (1, 1, kernel), kernel, x)
        attributes = {"kernel_shape": [kernel], "pads": [kernel // 2] * 2}
        line = self._node("Conv", f"{name}.line", [row, weight], attributes)
        return Tensor(self._reshape(name, line, (1, x.channels, 1, 1)), x.channels)

    def linear(self, name: str, x: Tensor, channels: int) -> Tensor:
        """A fully connected layer with bias, of [1, channels] or of a pooled image."""
        weight = self._filters(name, (channels, x.channels), x.channels, x)
        bias = self._uniform(name, "bias", channels, 0.0, 0.1)
        return Tensor(self._node("Gemm", name, [x.name, weight, bias], {"transB": 1}), channels)

    def flatten(self, name: str, x: Tensor) -> Tensor:
        return replace(x, name=self._node("Flatten", name, [x.name], {"axis": 1}))

    def image_of(self, name: str, x: Tensor) -> Tensor:
        """[1, channels] as an image of one pixel."""
        return replace(x, name=self._reshape(name, x.name, (1, x.channels, 1, 1)))

    def save(self, path: Path, result: Tensor, shape: Sequence[int]) -> None:
        """Write the file; the result's shape is checked by the checker of ONNX."""
        fed = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, *self._size))
        given = helper.make_tensor_value_info(result.name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, self.name, [fed], [given], self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))

    def _node(
        self,
        kind: str,
        name: str,
        operands: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> str:
        self._nodes.append(helper.make_node(kind, operands, [name], name, **(attributes or {})))
        return name

    def _reshape(self, name: str, x: str, shape: Sequence[int]) -> str:
        target = self._constant(f"{name}.shape", np.array(shape, np.int64))
        return self._node("Reshape", name, [x, target])

    def _constant(self, name: str, value: Array | np.generic) -> str:
        self._weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, zlib.crc32(name.encode())])

    def _filters(self, layer: str, shape: tuple[int, ...], fan_in: int, x: Tensor) -> str:
        """Normal numbers under which operands of x's size give a result of unit size."""
        name = f"{layer}.weight"
        scale = np.float32(1 / (math.sqrt(fan_in) * x.rms))
        return self._constant(name, self._rng(name).standard_normal(shape, np.float32) * scale)

    def _uniform(self, layer: str, part: str, size: int, centre: float, spread: float) -> str:
        name = f"{layer}.{part}"
        numbers = self._rng(name).uniform(centre - spread, centre + spread, size)
        return self._constant(name, numbers.astype(np.float32))
