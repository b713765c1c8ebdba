"""The numbers of the CV180x (FACTS_TPU 1, FACTS_CVIMODEL 7)."""

from __future__ import annotations

from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.tdma_layout import TDMA_LAYOUT
from cvi_tpu.isa.tiu_layout_182x import TIU_LAYOUT_182X

CV180X = ChipSpec(
    name="cv180x",
    summary="2 lanes of 32 KiB, INT8 and BF16, no CPU functions",
    lanes=2,
    lane_bytes=32768,
    eu_bytes=16,
    cmdbuf_magic=0xA8,
    dram_start=0,
    stream_bytes=(8 << 20, 8 << 20),
    max_stride=31,
    max_insert=14,
    tiu=TIU_LAYOUT_182X,
    tdma=TDMA_LAYOUT,
    has_cpu_functions=False,
    has_lz4=False,
    features=frozenset({"ge", "min_pool", "matrix_const", "depthwise_undilated"}),
)
