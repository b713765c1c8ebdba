"""What a convolution reads beside its input: filters, and what follows the sums, requantisation
records or a bias, in local memory one for every output channel (FACTS_TPU 2.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi_tpu.codegen.context import BF16_BYTES, Context, View, as_bytes
from cvi_tpu.codegen.planner import Load
from cvi_tpu.codegen.tiling import Range
from cvi_tpu.isa.instructions import Quant
from cvi_tpu.isa.operands import Dram, Local, ceil_div

RECORD = 9


@dataclass(frozen=True)
class Finish(ABC):
    """How the sums of a convolution become its result."""

    relu: bool

    @abstractmethod
    def load(self, channels: Range, lanes: int) -> Load | None:
        """The load of what some output channels need."""

    @abstractmethod
    def quant(self, address: int) -> Quant:
        """The part of the instruction, for what `load` has put there."""


@dataclass(frozen=True)
class Requantise(Finish):
    """Records of int32 bias, multiplier and shift for an INT8 result."""

    records: View

    def load(self, channels: Range, lanes: int) -> Load:
        count, first = channels.size, channels.start
        source = Dram(
            self.records.region,
            self.records.address + first * RECORD,
            (1, count, 1, RECORD),
            (count * RECORD, RECORD, RECORD),
        )
        strides = (ceil_div(count, lanes) * RECORD, RECORD, RECORD, 1)
        return Load("@records", channels, source, Local(0, (1, count, 1, RECORD), strides), "c")

    def quant(self, address: int) -> Quant:
        return Quant(per_channel=True, bias=True, records=address, relu=self.relu)


@dataclass(frozen=True)
class Round(Finish):
    """Rounding to BF16, after adding an fp32 bias if there is one: the upper halves of all
    channels and then the lower halves."""

    bias: View | None
    channels: int

    def load(self, channels: Range, lanes: int) -> Load | None:
        if self.bias is None:
            return None
        source, target = halves(self.bias, self.channels, channels, lanes)
        return Load("@records", channels, source, target, "c")

    def quant(self, address: int) -> Quant:
        bias = self.bias is not None
        return Quant(bias=bias, records=address if bias else 0, relu=self.relu)


def halves(view: View, total: int, channels: Range, lanes: int) -> tuple[Dram, Local]:
    """Some channels of two rows of BF16-sized numbers, `total` in each, and how they lie in
    local memory: packed, one row behind the other."""
    shape, size = (2, channels.size, 1, 1), BF16_BYTES
    address = view.address + channels.start * size
    source = Dram(view.region, address, shape, (total * size, size, size), bf16=True)
    strides = (ceil_div(channels.size, lanes) * size, size, size, size)
    return source, Local(0, shape, strides, bf16=True)


def requantise(
    ctx: Context, bias: Array | None, multiplier: Array, shift: Array, *, relu: bool
) -> Requantise:
    """The finish of an INT8 convolution; no bias is one of zeros."""
    integers = np.zeros(len(multiplier), np.int32) if bias is None else bias
    records = quant_records(integers, multiplier, shift)
    return Requantise(relu, ctx.weight(as_bytes(records)).reshaped(records.shape))


def quant_records(bias: Array, multiplier: Array, shift: Array) -> Array:
    """Per-channel records: int32 bias, uint32 multiplier, uint8 shift (FACTS_TPU 2.3)."""
    records = np.empty((len(multiplier), RECORD), np.uint8)
    records[:, 0:4] = as_bytes(bias.astype("<i4")).reshape(-1, 4)
    records[:, 4:8] = as_bytes(multiplier.astype("<u4")).reshape(-1, 4)
    records[:, 8] = shift
    return records


def round_to_bf16(ctx: Context, bias: Array | None, channels: int, *, relu: bool) -> Round:
    """The finish of a BF16 convolution."""
    if bias is None:
        return Round(relu, None, channels)
    halves = bias.astype("<f4").view("<u2").reshape(-1, 2)
    planes = np.concatenate([halves[:, 1], halves[:, 0]])
    return Round(relu, ctx.weight(as_bytes(planes)), channels)


def typed(view: View, shape: tuple[int, ...], element_bytes: int) -> View:
    """Stored bytes as elements of some size."""
    return View.dense(view.region, view.address, shape, element_bytes)


def filter_load(
    slot: str, filters: View, channels: Range, inner: Range, lanes: int, element_bytes: int
) -> Load:
    """The load of filters[oc, taps, ic] of some output and input channels, as elements of so
    many bytes in the layout that a convolution reads."""
    taps, depth, count = filters.shape[1], inner.size, channels.size
    part = filters.window((channels.start, 0, inner.start), (count, taps, depth))
    c_stride, h_stride, _ = part.strides
    shape = (1, count, taps, depth)
    source = Dram(
        part.region, part.address, shape, (count * c_stride, c_stride, h_stride),
        bf16=part.element_bytes > 1,
    )  # fmt: skip
    row = depth * element_bytes
    strides = (ceil_div(count, lanes) * taps * row, taps * row, row, element_bytes)
    target = Local(0, shape, strides, bf16=element_bytes > 1)
    return Load(slot, (channels, inner), source, target, "ck")
