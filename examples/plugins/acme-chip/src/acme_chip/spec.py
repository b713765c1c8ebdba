"""The numbers of the acme1, a small member of the family that nobody has built."""

from __future__ import annotations

from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.tdma_layout import TDMA_LAYOUT
from cvi_tpu.isa.tiu_layout_182x import TIU_LAYOUT_182X

ACME1 = ChipSpec(
    name="acme1",
    summary="4 lanes of 16 KiB, INT8",
    lanes=4,
    lane_bytes=16384,
    eu_bytes=16,
    cmdbuf_magic=0xAC,
    dram_start=0,
    stream_bytes=(1 << 20, 1 << 20),
    max_stride=31,
    max_insert=14,
    tiu=TIU_LAYOUT_182X,
    tdma=TDMA_LAYOUT,
    features=frozenset({"ge", "min_pool", "matrix_const"}),
)
