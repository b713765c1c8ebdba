"""The memory generator of the golden vectors (FACTS_TPU 10)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
_MASK = np.uint64(0xFFFFFFFF)


def _hash(count: int, seed: int) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B1)
        x = (x + np.uint64(seed * 0x85EBCA77 + 0x165667B1)) & _MASK
        for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
            x ^= x >> np.uint64(shift)
            x = (x * np.uint64(factor)) & _MASK
    return x ^ x >> np.uint64(15)


def generated(kind: str, size: int, seed: int) -> Bytes:
    """`size` bytes: random ones ("int"), or BF16 numbers of moderate size ("bf16")."""
    if kind == "int":
        return (_hash(size, seed) & np.uint64(0xFF)).astype(np.uint8)
    x = _hash(size // 2, seed)
    exponent = np.uint64(120) + (x >> np.uint64(8)) % np.uint64(14)
    bits = (x >> np.uint64(31)) << np.uint64(15) | exponent << np.uint64(7) | x & np.uint64(0x7F)
    return bits.astype(np.uint16).view(np.uint8).copy()
