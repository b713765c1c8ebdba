"""The weight section: blobs at multiples of 16 bytes, equal ones stored once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi_tpu.codegen.context import View
from cvi_tpu.isa.operands import align
from cvi_tpu.model import Element, Weight, gmem

REGION = 1
ALIGN = 16


@dataclass(frozen=True)
class _Blob:
    name: str
    address: int
    size: int


class WeightSection:
    """Collects the bytes that a program reads as weights."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, _Blob] = {}
        self._names: set[str] = set()
        self._chunks: list[bytes] = []
        self.bytes = 0

    def add(self, name: str, data: Array) -> View:
        """Where these bytes lie; the view is flat, of uint8. The name is for the file's
        weight map; equal bytes keep their first name."""
        raw = np.ascontiguousarray(data).view(np.uint8).tobytes()
        key = hashlib.sha256(raw).digest()
        if key not in self._blobs:
            self._blobs[key] = _Blob(self._free(name), self.bytes, len(raw))
            self._chunks += [raw, bytes(-len(raw) % ALIGN)]
            self.bytes += align(len(raw), ALIGN)
        return View.dense(REGION, self._blobs[key].address, (len(raw),))

    def _free(self, name: str) -> str:
        free, i = name, 0
        while free in self._names:
            i += 1
            free = f"{name}_{i}"
        self._names.add(free)
        return free

    def content(self) -> bytes:
        """The bytes of the section."""
        return b"".join(self._chunks)

    def table(self) -> tuple[Weight, ...]:
        """The weight map of the file."""
        return tuple(
            Weight(
                name=blob.name,
                offset=gmem(REGION, blob.address),
                size=blob.size,
                shape=(1, 1, 1, blob.size),
                element=Element.UINT8,
            )
            for blob in self._blobs.values()
        )
