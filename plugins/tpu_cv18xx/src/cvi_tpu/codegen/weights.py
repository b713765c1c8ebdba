"""The weight section: blobs at multiples of 16 bytes, equal ones stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from math import prod

import numpy as np

from cvi.ir import Array, DType, Shape
from cvi_tpu.codegen.context import View
from cvi_tpu.isa.operands import align
from cvi_tpu.model import Element, Weight, four_dims, gmem

REGION = 1
ALIGN = 16


class WeightSection:
    """Collects the bytes that a program reads as weights.

    taken: names of the program's tensors; CPU functions look for those first.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._addresses: dict[bytes, int] = {}
        self._table: dict[str, Weight] = {}
        self._tensors: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self.bytes = 0

    def add(self, name: str, data: Array) -> View:
        """Where these bytes lie; the view is flat, of uint8. The name is for the file's
        weight map; equal bytes keep their first name."""
        raw = np.ascontiguousarray(data).view(np.uint8).tobytes()
        known = len(self._addresses)
        address = self._place(raw)
        if len(self._addresses) > known:
            self._enter(name, address, Element.UINT8, (1, 1, 1, len(raw)))
        return View.dense(REGION, address, (len(raw),))

    def add_tensor(self, name: str, array: Array) -> str:
        """The name in the weight map by which a CPU function reads the constant `name`."""
        if name not in self._tensors:
            address = self._place(np.ascontiguousarray(array).tobytes())
            element, shape = Element.of(DType.of(array)), four_dims(array.shape)
            self._tensors[name] = self._enter(name, address, element, shape)
        return self._tensors[name]

    def _place(self, raw: bytes) -> int:
        key = hashlib.sha256(raw).digest()
        if key not in self._addresses:
            self._addresses[key] = self.bytes
            self._chunks += [raw, bytes(-len(raw) % ALIGN)]
            self.bytes += align(len(raw), ALIGN)
        return self._addresses[key]

    def _enter(self, name: str, address: int, element: Element, shape: Shape) -> str:
        free, i = name, 0
        while free in self._taken:
            i += 1
            free = f"{name}_{i}"
        self._taken.add(free)
        self._table[free] = Weight(
            name=free,
            offset=gmem(REGION, address),
            size=prod(shape) * element.dtype.size,
            shape=shape,
            element=element,
        )
        return free

    def content(self) -> bytes:
        """The bytes of the section."""
        return b"".join(self._chunks)

    def table(self) -> tuple[Weight, ...]:
        """The weight map of the file."""
        return tuple(self._table.values())
