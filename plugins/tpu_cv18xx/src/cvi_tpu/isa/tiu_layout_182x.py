"""The TIU descriptor of the CV182x, CV181x and CV180x (FACTS_TPU 3.1): name, width and
default of every field.

The last four bits of every fourth word (rsvd0 to rsvd6) hold the number of its 128-bit
group.
"""

from __future__ import annotations

from cvi_tpu.isa.layout import packed

TIU_LAYOUT_182X = packed(
    "the cv182x TIU descriptor",
    28,
    """
    cmd_en 1
    cmd_end 1
    cmd_id_en 1
    cmd_keep 1
    cmd_intr_en 1
    tsk_typ 4
    tsk_eu_typ 5
    tsk_opd_num 2 3
    opt_res_shift 6 10
    opt_left_shift 5 2
    opt_shift_typ 1 1
    opt_rshift_typ 1 1
    dummy1 1
    opd_typ 1
    opt_chl_quan 1
    cmd_id_tpu 16
    cmd_id_gdma 16
    quan_m 32
    opt_res0_sign 1
    opt_opd0_sign 1
    opt_opd1_sign 1 1
    opt_opd2_sign 1 1
    opt_res0_seg 2 1
    opt_opd0_seg 2 1
    opt_opd1_seg 2 1
    opt_opd2_seg 1
    ps32_md 2
    double_conv 1
    opt_left_tran 1
    fp_round_typ 1
    opt_relu_typ 2
    opt_relu_value 8
    cmd_pre_exe_typ 1
    opt_res_add 1
    rsvd0 4
    conv_opd0_x_ins0 4
    conv_opd0_y_ins0 4
    conv_opd0_x_ins0_last 4
    conv_opd0_y_ins0_last 4
    conv_opd1_x_ins0 4
    conv_opd1_y_ins0 4
    dummy0 8
    opd0_ins_val 16
    conv_opd0_up_pad 4
    conv_opd0_dn_pad 4
    conv_opd0_lf_pad 4
    conv_opd0_rt_pad 4
    res0_n 12 1
    res0_c 12 1
    res0_h 12 1
    res0_w 12 16
    conv_op_x_str 5 1
    conv_op_y_str 5 1
    cmd_pre_exe 2
    rsvd1 4 1
    res0_addr 24
    opd0_addr 24
    opd1_addr 16
    opd2_addr 16
    opt_opd0_const 1
    opt_opd1_const 1
    opt_opd2_const 1
    short_nchwstr_same 1
    short_res0_str 2
    short_opd0_str 2
    short_opd1_str 2
    short_opd2_str 2
    dummy2 4
    opd0_n 12 1
    opd0_c 12 1
    dummy3 4
    rsvd2 4 2
    opd0_h 12 1
    opd0_w 12 16
    opd1_n 12 1
    opd1_c 12 1
    opd1_h 12 1
    opd1_w 12 16
    opd2_n 12 1
    opd2_c 12 1
    opd2_h 12 1
    opd2_w 12 16
    dummy4 4
    rsvd3 4 3
    layer_info 16
    res0_n_str 16 16
    res0_c_str 16 16
    res0_h_str 16
    res0_w_str 16 1
    res0_b_str 16 16
    opd0_n_str 16 16
    dummy5 12
    rsvd4 4 4
    opd0_c_str 16 16
    opd0_h_str 16
    opd0_w_str 16 1
    opd0_b_str 16 16
    opd1_n_str 16 16
    opd1_c_str 16 16
    opd1_h_str 16
    dummy6 12
    rsvd5 4 5
    opd1_w_str 16 1
    opd1_b_str 16 16
    opd2_n_str 16 16
    opd2_c_str 16 16
    opd2_h_str 16
    opd2_w_str 16 1
    opd2_b_str 16 16
    dummy7 12
    rsvd6 4 6
    """,
    aliases={
        "right_shift": "opt_res_shift",
        "relu": "opt_relu_typ",
        "res0_8bit": "opt_res0_seg",
        "opd0_8bit": "opt_opd0_seg",
        "opd1_8bit": "opt_opd1_seg",
        "opd2_8bit": "opt_opd2_seg",
        "fill": "opd0_ins_val",
        "fill_bf16": "opd0_ins_val",
    },
    signed=frozenset({"opd0_ins_val"}),
)
