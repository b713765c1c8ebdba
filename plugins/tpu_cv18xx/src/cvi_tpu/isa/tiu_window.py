"""Sliding windows in the TIU descriptor: kernel, strides, pads, insertions, fill value
(FACTS_TPU 3.5), both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi_tpu.isa import tiu_fields as tiu
from cvi_tpu.isa.errors import require
from cvi_tpu.isa.instructions import Pair, Window
from cvi_tpu.isa.operands import Local
from cvi_tpu.isa.tiu_fields import FIRST, SECOND, Fields, Values

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec


def window_size(window: Window, height: int, width: int) -> Pair:
    """Height and width of what the window makes of an input."""
    top, left, bottom, right = window.pads
    return (
        _steps(window, 0, height, top + bottom),
        _steps(window, 1, width, left + right),
    )


def _steps(window: Window, axis: int, size: int, pads: int) -> int:
    expanded = (size - 1) * (window.insert[axis] + 1) + 1 + window.insert_last[axis] + pads
    reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1
    return (expanded - reach) // window.stride[axis] + 1


def check_window(
    window: Window, source: Local, result: Local, spec: ChipSpec, *, whole: bool = True
) -> None:
    """Ranges of the numbers (FACTS_TPU 1), the fill value, and the size of the result.

    whole: the result has all rows and columns that the window makes, else at most those.
    """
    _check_pair("kernel", window.kernel, 1, spec.max_size)
    _check_pair("stride", window.stride, 1, spec.max_stride)
    _check_pair("dilation", window.dilation, 1, spec.max_dilation)
    _check_pair("insertion", window.insert, 0, spec.max_insert)
    _check_pair("last insertion", window.insert_last, 0, spec.max_insert)
    for pad in window.pads:
        require(0 <= pad <= spec.max_pad, "padding of {}; the most is {}", pad, spec.max_pad)
    if source.bf16:
        tiu.check_constant("the fill value", window.fill, 16, False)
    else:
        tiu.check_constant("the fill value", window.fill, 8, source.signed)
    want = window_size(window, source.shape[2], source.shape[3])
    part = result.shape[2] <= want[0] and result.shape[3] <= want[1]
    require(
        result.shape[2:] == want or (part and not whole),
        "the result is {} x {}, but the window makes {} x {}",
        *result.shape[2:],
        *want,
    )


def _check_pair(what: str, pair: Pair, lowest: int, highest: int) -> None:
    for value in pair:
        require(
            lowest <= value <= highest, "{} of {}; it must be {} to {}", what, pair, lowest, highest
        )


def put_window(values: Values, window: Window, bf16: bool) -> None:
    """All window fields; the kernel's are those of operand 1."""
    _, _, kernel_h, kernel_w = SECOND.shape
    top, left, bottom, right = window.pads
    values[kernel_h], values[kernel_w] = window.kernel
    values["conv_op_y_str"], values["conv_op_x_str"] = window.stride
    values["conv_opd1_y_ins0"] = window.dilation[0] - 1
    values["conv_opd1_x_ins0"] = window.dilation[1] - 1
    values["conv_opd0_up_pad"] = top
    values["conv_opd0_dn_pad"] = bottom
    values["conv_opd0_lf_pad"] = left
    values["conv_opd0_rt_pad"] = right
    values["conv_opd0_y_ins0"], values["conv_opd0_x_ins0"] = window.insert
    values["conv_opd0_y_ins0_last"], values["conv_opd0_x_ins0_last"] = window.insert_last
    values["fill_bf16" if bf16 else "fill"] = window.fill


def window_from(fields: Fields) -> Window:
    _, _, kernel_h, kernel_w = SECOND.shape
    if tiu.is_bf16(fields):
        fill = fields["fill_bf16"]
    else:
        fill = tiu.from_twos(fields["fill"], 8, bool(fields[FIRST.sign]))
    return Window(
        kernel=(fields[kernel_h], fields[kernel_w]),
        stride=(fields["conv_op_y_str"], fields["conv_op_x_str"]),
        dilation=(fields["conv_opd1_y_ins0"] + 1, fields["conv_opd1_x_ins0"] + 1),
        pads=(
            fields["conv_opd0_up_pad"],
            fields["conv_opd0_lf_pad"],
            fields["conv_opd0_dn_pad"],
            fields["conv_opd0_rt_pad"],
        ),
        insert=(fields["conv_opd0_y_ins0"], fields["conv_opd0_x_ins0"]),
        insert_last=(fields["conv_opd0_y_ins0_last"], fields["conv_opd0_x_ins0_last"]),
        fill=fill,
    )
