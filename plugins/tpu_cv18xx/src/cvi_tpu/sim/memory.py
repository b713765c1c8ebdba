"""Local memory and DRAM as numpy arrays, and views of tensors in them.

A view aliases the memory; nothing here copies unless it says so. Every view is checked
against the end of the lane or region it lies in.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cvi.errors import RunnerError
from cvi.ir.types import Array
from cvi_tpu.isa.operands import Dram, Local, Matrix, Shape4

Bytes = npt.NDArray[np.uint8]
Piece = tuple[slice, Array]
"""Some channels of a tensor, and a view of them: (n, channels, h, w), or
(n, groups, lanes, h, w) when the channels fill all lanes of several groups."""


def element(signed: bool, bf16: bool = False) -> np.dtype[Any]:
    """Numpy type of a stored element; BF16 is held as uint16 bit patterns."""
    return _BF16 if bf16 else _INT8 if signed else _UINT8


_BF16, _INT8, _UINT8 = np.dtype("<u2"), np.dtype(np.int8), np.dtype(np.uint8)


MOST_ELEMENTS = 1 << 27
"""Elements of one operand. Strides of 0 make more out of any memory; a chip would work on
them for seconds, a simulator would take gigabytes."""

MOST_WORK = 1 << 36
"""Multiplications of one 8-bit instruction: seconds, many times what local memory gives
work for."""


class LocalMemory:
    """The lanes' memory, uint8 (lanes, lane_bytes), all zero at the start."""

    def __init__(self, lanes: int, lane_bytes: int, unit: int = 16) -> None:
        self.lanes, self.lane_bytes, self.unit = lanes, lane_bytes, unit
        self.bytes: Bytes = np.zeros((lanes, lane_bytes), np.uint8)
        self.most_elements = 4 * lanes * lane_bytes

    def pieces(
        self, address: int, shape: Shape4, strides: Shape4, dtype: np.dtype[Any]
    ) -> list[Piece]:
        """Views that together make up a tensor (FACTS_TPU 2.1).

        RunnerError when the tensor runs over a lane's end.
        """
        n, c, h, w = shape
        sn, sc, sh, sw = strides
        check_size(shape, self.most_elements)
        lane, offset = divmod(address, self.lane_bytes)
        last = (lane + c - 1) // self.lanes
        end = offset + (n - 1) * sn + last * sc + (h - 1) * sh + (w - 1) * sw + dtype.itemsize
        if end > self.lane_bytes or min(shape) < 1 or lane >= self.lanes:
            raise RunnerError(
                f"an instruction uses local memory at lane {lane}, offset {offset} for a tensor"
                f" {shape} with strides {strides}: that ends at {end} of {self.lane_bytes} bytes"
            )
        if not last:
            view = self._view((n, c, h, w), dtype, address, (sn, self.lane_bytes, sh, sw))
            return [(slice(0, c), view)]
        return self._grouped(lane, offset, shape, strides, dtype)

    def _grouped(
        self, lane: int, offset: int, shape: Shape4, strides: Shape4, dtype: np.dtype[Any]
    ) -> list[Piece]:
        n, c, h, w = shape
        sn, sc, sh, sw = strides
        found: list[Piece] = []
        head = (self.lanes - lane) % self.lanes
        if head:
            first = offset + lane * self.lane_bytes
            view = self._view((n, head, h, w), dtype, first, (sn, self.lane_bytes, sh, sw))
            found.append((slice(0, head), view))
        group, (full, rest) = int(head > 0), divmod(c - head, self.lanes)
        if full:
            view = self._view(
                (n, full, self.lanes, h, w),
                dtype,
                offset + group * sc,
                (sn, sc, self.lane_bytes, sh, sw),
            )
            found.append((slice(head, c - rest), view))
        if rest:
            start = offset + (group + full) * sc
            view = self._view((n, rest, h, w), dtype, start, (sn, self.lane_bytes, sh, sw))
            found.append((slice(c - rest, c), view))
        return found

    def _view(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], start: int, strides: tuple[int, ...]
    ) -> Array:
        view: Array = np.ndarray(shape, dtype, self.bytes, start, strides)
        return view

    def read(self, address: int, shape: Shape4, strides: Shape4, dtype: np.dtype[Any]) -> Array:
        """The tensor (n, c, h, w): a view where one is possible, else a copy."""
        pieces = self.pieces(address, shape, strides, dtype)
        if len(pieces) == 1 and pieces[0][1].ndim == 4:
            return pieces[0][1]
        out: Array = np.empty(shape, dtype)
        fill(out, pieces)
        return out

    def write(self, address: int, strides: Shape4, values: Array) -> None:
        """Store (n, c, h, w) values whose numpy type is the stored element's."""
        n, c, h, w = values.shape
        for channels, view in self.pieces(address, (n, c, h, w), strides, values.dtype):
            part = values[:, channels]
            view[...] = part if view.ndim == 4 else part.reshape(view.shape)

    # -- tensors -----------------------------------------------------------

    def tensor(self, tensor: Local) -> Array:
        """Stored elements of an 8-bit or BF16 tensor (int8, uint8, or uint16 patterns)."""
        dtype = element(tensor.signed, tensor.bf16)
        return self.read(tensor.address, tensor.shape, tensor.strides, dtype)

    def integers(self, tensor: Local) -> Array:
        """Values of an integer tensor: int8 or uint8, or int32 for 16-bit planes."""
        if not tensor.plane:
            return self.tensor(tensor)
        low = self.read(tensor.address, tensor.shape, tensor.strides, _UINT8)
        high = self.read(
            tensor.address + tensor.plane, tensor.shape, tensor.strides, element(tensor.signed)
        )
        joined: Array = high.astype(np.int32)
        joined <<= 8
        joined |= low
        return joined

    def store(self, tensor: Local, values: Array) -> None:
        """Store values that fit the tensor's element (8-bit, 16-bit planes or BF16)."""
        dtype = element(tensor.signed, tensor.bf16)
        if not tensor.plane:
            self.write(tensor.address, tensor.strides, values.astype(dtype, copy=False))
            return
        low = (values & 0xFF).astype(np.uint8)
        high = (values >> 8 & 0xFF).astype(np.uint8)
        self.write(tensor.address, tensor.strides, low)
        self.write(tensor.address + tensor.plane, tensor.strides, high)

    def words(self, tensor: Local, plane: int) -> Array:
        """32-bit partial sums in four byte planes (FACTS_TPU 2.3) as int32."""
        total: Array = np.zeros(tensor.shape, np.uint32)
        for k in range(4):
            byte = self.read(tensor.address + k * plane, tensor.shape, tensor.strides, _UINT8)
            total |= byte.astype(np.uint32) << np.uint32(8 * k)
        return total.view(np.int32)

    def store_words(self, tensor: Local, plane: int, values: Array) -> None:
        """Store int32 partial sums in four byte planes."""
        raw = np.ascontiguousarray(values, np.int32).view(np.uint8).reshape(*tensor.shape, 4)
        for k in range(4):
            self.write(tensor.address + k * plane, tensor.strides, raw[..., k])

    def as_tensor(self, matrix: Matrix) -> Local:
        """A matrix as the tensor (rows, c, 1, w) it is stored as, pad columns included."""
        row, group = matrix.strides
        size = matrix.element_bytes
        return Local(
            matrix.address,
            (matrix.rows, matrix.c, 1, matrix.w),
            (row, group, matrix.w * size, size),
            matrix.signed,
            matrix.bf16,
        )


def check_size(shape: tuple[int, ...], most: int = MOST_ELEMENTS) -> None:
    """RunnerError for a tensor of more elements."""
    if prod(shape) > most:
        raise RunnerError(f"an instruction works on {prod(shape)} elements, shape {shape}")


def check_work(result: tuple[int, ...], terms: int, most: int = MOST_WORK) -> None:
    """RunnerError for more multiplications; `terms` for each element of the result."""
    if prod(result) * terms > most:
        raise RunnerError(
            f"an instruction multiplies {prod(result) * terms} times: {terms} for each element"
            f" of a result {result}"
        )


def fill(out: Array, pieces: list[Piece]) -> None:
    """Copy the pieces of a tensor into `out` (n, c, h, w), converting the element type."""
    for channels, view in pieces:
        # splitting the channel axis needs no copy, so the reshaped part aliases `out`
        out[:, channels].reshape(view.shape)[...] = view


class Regions:
    """Memory regions by base register 0..7; several may be the same array."""

    def __init__(self, regions: dict[int, Bytes]) -> None:
        self.regions = regions

    def _region(self, number: int, start: int, end: int) -> Bytes:
        region = self.regions.get(number)
        if region is None:
            raise RunnerError(f"an instruction uses memory region {number}, which is empty")
        if start < 0 or end > region.size:
            raise RunnerError(
                f"an instruction uses bytes {start} to {end} of memory region {number},"
                f" which has {region.size}"
            )
        return region

    def view(self, tensor: Dram) -> Array:
        """A view (n, c, h, w) of a tensor; RunnerError when it leaves its region."""
        check_size(tensor.shape)
        n, c, h, w = tensor.shape
        sn, sc, sh = tensor.strides
        dtype = element(tensor.signed, tensor.bf16)
        span = (n - 1) * sn + (c - 1) * sc + (h - 1) * sh + w * dtype.itemsize
        if min(tensor.shape) < 1:
            raise RunnerError(f"an instruction moves an empty tensor {tensor.shape}")
        region = self._region(tensor.region, tensor.address, tensor.address + span)
        strides = (sn, sc, sh, dtype.itemsize)
        view: Array = np.ndarray(tensor.shape, dtype, region, tensor.address, strides)
        return view

    def linear(self, region: int, address: int, size: int) -> Bytes:
        """A view of `size` bytes."""
        return self._region(region, address, address + size)[address : address + size]
