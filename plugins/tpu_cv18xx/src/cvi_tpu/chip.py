"""The numbers of one chip, as plain data; a chip plugin is one `ChipSpec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvi_tpu.isa.layout import Layout


@dataclass(frozen=True, kw_only=True)
class ChipSpec:
    """Numbers and bit layouts of a chip (FACTS_TPU 1).

    lanes: processing lanes, each with its own slice of local memory.
    lane_bytes: local memory of one lane; local address = lane * lane_bytes + offset.
    eu_bytes: alignment of local tensors, and 8-bit elements per cycle and lane.
    cmdbuf_magic: first byte of every command header.
    dram_start: added to every DRAM address in TDMA descriptors.
    stream_bytes: most bytes of TIU and of TDMA descriptors in one routine.
    max_stride, max_insert: window strides, and elements inserted between neighbours.
    has_cpu_functions, has_lz4: whether the runtime on boards has CPU functions, and reads
    compressed sections.
    features: abilities that not every chip has, by name: "ge" and "min_pool" (instructions),
    "matrix_const" (a constant right matrix), "depthwise_partial" (fp32 results). And a
    quirk: "depthwise_undilated" (the vendor's simulator ignores the dilation of depthwise
    convolutions that are requantised per channel; measured).
    """

    name: str
    summary: str
    lanes: int
    lane_bytes: int
    eu_bytes: int
    cmdbuf_magic: int
    dram_start: int
    stream_bytes: tuple[int, int]
    max_stride: int
    max_insert: int
    tiu: Layout
    tdma: Layout
    has_cpu_functions: bool = True
    has_lz4: bool = True
    features: frozenset[str] = frozenset()

    max_channels: int = 4095
    max_size: int = 4063
    max_pad: int = 15

    @property
    def max_dilation(self) -> int:
        """Of convolutions: elements are inserted between weights as between pixels (measured:
        the vendor's simulators of the later chips refuse 16)."""
        return self.max_insert + 1
