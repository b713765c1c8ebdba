"""The TIU descriptor of the CV183x (FACTS_TPU 3.1): name, width, default of every field."""

from __future__ import annotations

from cvi_tpu.isa.layout import packed

TIU_LAYOUT = packed(
    "the cv183x TIU descriptor",
    28,
    """
    cmd_en 1
    cmd_end 1
    cmd_id_en 1
    cmd_id_tpu 16
    cmd_id_gdma 16
    cmd_keep 1
    cmd_intr_en 1
    tsk_typ 4
    tsk_eu_typ 8
    tsk_opd_num 2 3
    opt_right_shift 5 10
    opt_left_shift 5 2
    opt_shift_typ 1 1
    opt_rshift_typ 1 1
    opt_res_add 1
    opt_relu 1 1
    opt_left_tran 1
    opt_chl_quan 1
    tens_mdsum 1
    tens_lookup 1
    opt_res0_sign 1
    opt_opd0_sign 1
    opt_opd1_sign 1 1
    opt_opd2_sign 1 1
    opt_res0_int8 1 1
    opt_opd0_int8 1 1
    opt_opd1_int8 1 1
    opt_opd2_int8 1
    opt_opd0_const 1
    opt_opd1_const 1
    opt_opd2_const 1
    short_nchwstr_same 1
    short_res0_str 2
    short_opd0_str 2
    short_opd1_str 2
    short_opd2_str 2
    conv_opd0_x_ins0 4
    conv_opd0_y_ins0 4
    conv_opd0_x_ins0_last 4
    conv_opd0_y_ins0_last 4
    conv_opd1_x_ins0 4
    conv_opd1_y_ins0 4
    opd0_ins_val 8
    ps32_md 2
    double_conv 1
    rsvd0 4
    res0_n 12 1
    res0_c 12 1
    res0_h 12 1
    res0_w 12 16
    res0_addr 24
    opd0_addr 24
    opd1_addr 16
    rsvd1 16
    opd2_addr 16
    opd0_c 12 1
    opd0_h 12 1
    opd0_w 12 16
    opd1_h 12 1
    opd1_w 12 16
    conv_opd0_up_pad 4
    conv_opd0_dn_pad 4
    conv_opd0_lf_pad 4
    conv_opd0_rt_pad 4
    conv_op_x_str 4 1
    conv_op_y_str 4 1
    opd0_ins_fp 16
    rsvd2 12
    opd0_n 12 1
    opd1_n 12 1
    opd1_c 12 1
    opd2_n 12 1
    opd2_c 12 1
    opd2_h 12 1
    opd2_w 12 16
    quan_m 32
    opd_typ 1
    fp_round_typ 3
    rsvd7 4
    rsvd3 4
    res0_n_str 16 16
    res0_c_str 16 16
    res0_h_str 16
    res0_w_str 16 1
    res0_b_str 16 16
    opd0_n_str 16 16
    opd0_c_str 16 16
    rsvd4 16
    opd0_h_str 16
    opd0_w_str 16 1
    opd0_b_str 16 16
    opd1_n_str 16 16
    opd1_c_str 16 16
    opd1_h_str 16
    opd1_w_str 16 1
    rsvd5 16
    opd1_b_str 16 16
    opd2_n_str 16 16
    opd2_c_str 16 16
    opd2_h_str 16
    opd2_w_str 16 1
    opd2_b_str 16 16
    layer_info 28
    rsvd6 4
    """,
    aliases={
        "right_shift": "opt_right_shift",
        "relu": "opt_relu",
        "res0_8bit": "opt_res0_int8",
        "opd0_8bit": "opt_opd0_int8",
        "opd1_8bit": "opt_opd1_int8",
        "opd2_8bit": "opt_opd2_int8",
        "fill": "opd0_ins_val",
        "fill_bf16": "opd0_ins_fp",
    },
    signed=frozenset({"opd0_ins_val"}),
)
