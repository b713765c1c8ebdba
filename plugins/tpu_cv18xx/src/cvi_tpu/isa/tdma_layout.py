"""The TDMA descriptor, common to all chips of the family (FACTS_TPU 4.1).

`intra_cmd_paral` is reserved on the CV183x; it stays 0 everywhere.
"""

from __future__ import annotations

from cvi_tpu.isa.layout import packed

TDMA_LAYOUT = packed(
    "the TDMA descriptor",
    16,
    """
    vld 1
    compress_en 1
    eod 1
    intp_en 1
    bar_en 1
    check_bf16_value 1
    trans_dir 2
    rsv00 2
    trans_fmt 1
    transpose_md 2
    rsv01 1
    intra_cmd_paral 1
    outstanding_en 1
    cmd_id 16
    spec_func 3
    dst_fmt 2 1
    src_fmt 2 1
    cmprs_fmt 1
    sys_dtype 1
    rsv2_1 4
    int8_sign 1
    compress_zero_guard 1
    int8_rnd_mode 1
    wait_id_tpu 16
    wait_id_other_tdma 16
    wait_id_sdma 16
    const_val 16
    src_base_reg_sel 3
    mv_lut_idx 1
    dst_base_reg_sel 3
    mv_lut_base 1
    rsv4_5 8
    dst_h_stride 16 1
    dst_c_stride_low 16 1
    dst_n_stride 32 1
    src_h_stride 16 1
    src_c_stride_low 16 1
    src_n_stride 32 1
    dst_c 16 1
    src_c 16 1
    dst_w 16 1
    dst_h 16 1
    src_w 16 1
    src_h 16 1
    dst_base_addr_low 32
    src_base_addr_low 32
    src_n 16 1
    dst_base_addr_high 8
    src_base_addr_high 8
    src_c_stride_high 16
    dst_c_stride_high 16
    compress_bias0 8
    compress_bias1 8
    layer_ID 16
    """,
)
