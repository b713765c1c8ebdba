"""The parts of a TFLite file that an import needs, as plain data.

Made by `reader`; nothing here knows of flatbuffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvi.ir import Array, Shape


@dataclass(frozen=True)
class Quantization:
    """real = (integer - zero_points[c]) * scales[c] along `axis`, or with one entry for all."""

    scales: Array
    zero_points: Array
    axis: int

    @property
    def per_tensor(self) -> bool:
        return len(self.scales) == 1


@dataclass(frozen=True)
class Tensor:
    """A tensor of the main subgraph.

    name: unique and printable. shape: as stored. signature: with -1 for dimensions that
    are free. type: e.g. "FLOAT32". buffer: index of its content, 0 for none.
    """

    index: int
    name: str
    shape: Shape
    signature: Shape
    type: str
    buffer: int
    quantization: Quantization | None
    sparse: bool = False
    variable: bool = False

    def range(self) -> tuple[float, float] | None:
        """The least and largest real number that an 8-bit tensor can hold; None for others."""
        q = self.quantization
        if q is None or not q.per_tensor or self.type not in _INTEGERS:
            return None
        limits = np.iinfo(_INTEGERS[self.type])
        scale, zero = float(q.scales[0]), int(q.zero_points[0])
        return (int(limits.min) - zero) * scale, (int(limits.max) - zero) * scale


_INTEGERS: Mapping[str, type[np.integer[Any]]] = {
    "INT8": np.int8,
    "UINT8": np.uint8,
}


@dataclass(frozen=True)
class Operator:
    """One op. name: of the built-in op, or of a custom one. inputs: tensor indices, -1 for
    an absent operand. options: the generated class of its options, None without any."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any
    custom: bool = False


@dataclass(frozen=True)
class Model:
    """The main subgraph of a file. signature_*: tensor index -> name of the first signature."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signature_inputs: Mapping[int, str]
    signature_outputs: Mapping[int, str]
    buffers: Mapping[int, memoryview]

    def input_name(self, tensor: int) -> str:
        """How users call a network input: as the signature does, else by its tensor."""
        return self.signature_inputs.get(tensor) or self.tensors[tensor].name

    def constants(self) -> set[int]:
        """Tensors that have a content."""
        return {t.index for t in self.tensors if t.buffer in self.buffers}
