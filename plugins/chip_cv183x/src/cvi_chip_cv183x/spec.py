"""The numbers of the CV183x (FACTS_TPU 1)."""

from __future__ import annotations

from cvi_chip_cv183x.layout import TIU_LAYOUT
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.tdma_layout import TDMA_LAYOUT

CV183X = ChipSpec(
    name="cv183x",
    summary="32 lanes of 32 KiB, INT8 and BF16",
    lanes=32,
    lane_bytes=32768,
    eu_bytes=16,
    cmdbuf_magic=0xA5,
    dram_start=0x1_0000_0000,
    stream_bytes=(20 << 20, 20 << 20),
    max_stride=15,
    max_insert=15,
    tiu=TIU_LAYOUT,
    tdma=TDMA_LAYOUT,
    features=frozenset({"depthwise_partial"}),
)
