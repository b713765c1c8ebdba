"""Hypothesis strategies of legal instructions, one per kind, for any chip of the family.

All instructions are in canonical form: attributes that have no bit in the descriptor have
the value that decoding gives them, so that decode(encode(x)) == x.
"""

from __future__ import annotations

from math import prod

from hypothesis import strategies as st

from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.geometry import groups
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Copy,
    Depthwise,
    Fill,
    Instruction,
    LinearCopy,
    Lut,
    MatMul,
    MatrixCopy,
    Mdsum,
    Pool,
    PoolOp,
    Quant,
    Transpose,
    Window,
)
from cvi_tpu.isa.operands import (
    Dram,
    Local,
    Matrix,
    Shape4,
    align,
    ceil_div,
    dense,
    dram_matrix,
    local_strides,
)
from cvi_tpu.isa.tiu_matmul import matrix_strides
from cvi_tpu.isa.tiu_window import window_size

Draw = st.DrawFn
LAYERS = st.integers(0, 0xFFFF)


def spans(draw: Draw, low: int, high: int) -> int:
    return draw(st.integers(low, high))


@st.composite
def shapes(draw: Draw, spec: ChipSpec, channels: int = 3) -> Shape4:
    """Small shapes; channels: how many groups of lanes at most."""
    return (
        spans(draw, 1, 3),
        spans(draw, 1, channels * spec.lanes),
        spans(draw, 1, 9),
        spans(draw, 1, 9),
    )


def lanes(spec: ChipSpec) -> st.SearchStrategy[int]:
    return st.one_of(st.just(0), st.integers(0, spec.lanes - 1))


def place(draw: Draw, spec: ChipSpec, lane: int, size: int, unit: int = 1) -> int:
    """Local address in `lane` of something of `size` bytes, at a multiple of `unit`."""
    room = (spec.lane_bytes - size) // unit
    assert room >= 0, "the strategy made something that does not fit"
    return lane * spec.lane_bytes + unit * spans(draw, 0, room)


def extent(spec: ChipSpec, lane: int, shape: Shape4, strides: Shape4, element: int) -> int:
    n, c, h, w = shape
    in_lane = groups(lane * spec.lane_bytes, c, spec)
    steps = zip((n - 1, in_lane - 1, h - 1, w - 1), strides, strict=True)
    return sum(count * stride for count, stride in steps) + element


@st.composite
def free_strides(draw: Draw, spec: ChipSpec, shape: Shape4, element: int, gap: int = 2) -> Shape4:
    """Strides with holes, sometimes the default ones; gap: most elements between columns."""
    if draw(st.booleans()):
        return local_strides(shape, spec.lanes, element_bytes=element, aligned=draw(st.booleans()))
    _, c, h, w = shape
    sw = element * spans(draw, 1, gap)
    sh = w * sw + element * spans(draw, 0, 3)
    sc = h * sh + element * spans(draw, 0, 5)
    sn = sc * (ceil_div(c, spec.lanes) + 1) + element * spans(draw, 0, 5)
    return (sn, sc, sh, sw)


def tensor(
    draw: Draw,
    spec: ChipSpec,
    shape: Shape4,
    lane: int,
    *,
    signed: bool = True,
    bf16: bool = False,
    wide: bool = False,
    strides: Shape4 | None = None,
    unit: int = 1,
    gap: int = 2,
    behind: int = 0,
) -> Local:
    """behind: bytes that must be free behind the tensor."""
    element = 2 if bf16 else 1
    steps = strides or draw(free_strides(spec, shape, element, gap))
    size = extent(spec, lane, shape, steps, element) + behind
    plane = align(size, 16) + 16 * spans(draw, 0, 4) if wide else 0
    address = place(draw, spec, lane, size + plane, max(unit, element))
    return Local(address, shape, steps, signed or bf16, bf16, plane)


def aligned(spec: ChipSpec, shape: Shape4, bf16: bool, lane: int) -> Shape4:
    return local_strides(shape, spec.lanes, element_bytes=2 if bf16 else 1, lane=lane)


# -- TIU -------------------------------------------------------------------


@st.composite
def constants(draw: Draw, bits: int, bf16: bool, signed: bool | None = None) -> Const:
    sign = draw(st.booleans()) if signed is None else signed
    if bf16:
        return Const(spans(draw, 0, 0xFFFF), sign)
    low = -(1 << (bits - 1)) if sign else 0
    return Const(spans(draw, low, low + (1 << bits) - 1), sign)


def arith_ops(spec: ChipSpec) -> list[ArithOp]:
    return [op for op in ArithOp if op is not ArithOp.GE or "ge" in spec.features]


@st.composite
def ariths(draw: Draw, spec: ChipSpec, op: ArithOp | None = None) -> Arith:
    op = op or draw(st.sampled_from(arith_ops(spec)))
    return _BUILDERS.get(op, _compute)(draw, spec, op)


def _common(draw: Draw, spec: ChipSpec) -> tuple[Shape4, int, int]:
    return draw(shapes(spec)), draw(lanes(spec)), draw(LAYERS)


def _compute(draw: Draw, spec: ChipSpec, op: ArithOp) -> Arith:
    """MUL, MAC, ADD, SUB, MAX, MIN, GE."""
    shape, lane, layer = _common(draw, spec)
    bf16 = draw(st.booleans())
    wide_in = op in (ArithOp.ADD, ArithOp.SUB) and not bf16
    left_signed = bf16 or draw(st.booleans())
    compares = op in (ArithOp.MAX, ArithOp.MIN, ArithOp.GE)
    right_signed = left_signed if compares else bf16 or draw(st.booleans())

    def make(signed: bool, wide: bool) -> Local:
        return tensor(draw, spec, shape, lane, signed=signed, bf16=bf16, wide=wide)

    right: Local | Const = make(right_signed, wide_in)
    if op is not ArithOp.SUB and draw(st.booleans()):
        bits = 16 if op is ArithOp.ADD else 8
        right = draw(constants(bits, bf16, None if bf16 else right_signed))
    signed = op is ArithOp.SUB or left_signed or right_signed
    mac, shifts = op is ArithOp.MAC and not bf16, not (bf16 or compares)
    multiplies = op is ArithOp.MUL and not bf16 and draw(st.booleans())
    narrow = mac and draw(st.booleans())
    may_widen = shifts and op is not ArithOp.MAC and not multiplies
    result = make(signed, mac or (may_widen and draw(st.booleans())))
    has_relu = op in (ArithOp.MUL, ArithOp.MAC, ArithOp.ADD) and result.signed
    return Arith(
        op=op,
        result=result,
        left=make(left_signed, wide_in),
        right=right,
        shift=spans(draw, 0, 15 if mac else 31) if shifts else 0,
        left_shift=spans(draw, 0, 31) if mac else 0,
        multiplier=spans(draw, 0, 0xFFFFFFFF) if multiplies else None,
        relu=has_relu and (narrow or not result.plane) and draw(st.booleans()),
        rounding=not shifts or multiplies or draw(st.booleans()),
        narrow=narrow,
        layer=layer,
    )


def _logic(draw: Draw, spec: ChipSpec, op: ArithOp) -> Arith:
    shape, lane, layer = _common(draw, spec)
    wide = draw(st.booleans())

    def make() -> Local:
        return tensor(draw, spec, shape, lane, signed=False, wide=wide)

    return Arith(op=op, result=make(), left=make(), right=make(), layer=layer)


def _shift(draw: Draw, spec: ChipSpec, op: ArithOp) -> Arith:
    shape, lane, layer = _common(draw, spec)
    return Arith(
        op=op,
        result=tensor(draw, spec, shape, lane, wide=True),
        left=tensor(draw, spec, shape, lane, wide=True),
        right=tensor(draw, spec, shape, lane),
        rounding=False,
        layer=layer,
    )


def _copy(draw: Draw, spec: ChipSpec, op: ArithOp) -> Arith:
    shape, lane, layer = _common(draw, spec)
    bf16 = draw(st.booleans())

    def make() -> Local:
        return tensor(draw, spec, shape, lane, signed=False, bf16=bf16)

    return Arith(op=op, result=make(), left=make(), layer=layer)


_BUILDERS = {
    ArithOp.AND: _logic,
    ArithOp.OR: _logic,
    ArithOp.XOR: _logic,
    ArithOp.SHIFT: _shift,
    ArithOp.COPY: _copy,
}


@st.composite
def luts(draw: Draw, spec: ChipSpec) -> Lut:
    shape, lane, layer = _common(draw, spec)
    bf16 = draw(st.booleans())
    strides = aligned(spec, shape, bf16, lane)

    def make() -> Local:
        return tensor(draw, spec, shape, lane, signed=False, bf16=bf16, strides=strides)

    size = 512 if bf16 else 256
    return Lut(result=make(), input=make(), table=place(draw, spec, 0, size, 16), layer=layer)


@st.composite
def mdsums(draw: Draw, spec: ChipSpec) -> Mdsum:
    shape, lane, layer = _common(draw, spec)
    signed = draw(st.booleans())
    sums = (1, shape[1], 1, 1)
    packed = local_strides(sums, spec.lanes, aligned=False)
    strides = aligned(spec, shape, False, lane)
    return Mdsum(
        result=tensor(draw, spec, sums, lane, signed=signed, strides=packed),
        input=tensor(draw, spec, shape, lane, signed=signed, strides=strides),
        shift=spans(draw, 0, 31),
        layer=layer,
    )


@st.composite
def windows(
    draw: Draw,
    spec: ChipSpec,
    size: tuple[int, int],
    *,
    signed: bool,
    bf16: bool,
    dilates: bool = True,
    inserts: bool = True,
) -> Window:
    """A window that makes at least one row and column of an input of `size`."""
    pair = st.tuples
    insert = draw(pair(*[st.integers(0, 2)] * 2)) if inserts else (0, 0)
    last = draw(pair(*[st.integers(0, 2)] * 2)) if inserts else (0, 0)
    pads = draw(pair(*[st.integers(0, 4)] * 4))
    dilation = draw(pair(*[st.integers(1, 3)] * 2)) if dilates else (1, 1)
    kernel = []
    for axis in (0, 1):
        room = (size[axis] - 1) * (insert[axis] + 1) + 1 + last[axis] + pads[axis] + pads[axis + 2]
        kernel.append(spans(draw, 1, min(4, (room - 1) // dilation[axis] + 1)))
    if bf16:
        fill = spans(draw, 0, 0xFFFF)
    else:
        fill = spans(draw, -128, 127) if signed else spans(draw, 0, 255)
    return Window(
        kernel=(kernel[0], kernel[1]),
        stride=(spans(draw, 1, spec.max_stride), spans(draw, 1, 3)),
        dilation=dilation,
        pads=pads,
        insert=insert,
        insert_last=last,
        fill=fill,
    )


def _records(draw: Draw, spec: ChipSpec, lane: int, channels: int) -> int:
    in_lane = groups(lane * spec.lane_bytes, channels, spec)
    return place(draw, spec, lane, 9 * in_lane + 16, 16)


@st.composite
def quants(draw: Draw, spec: ChipSpec, lane: int, channels: int, bf16: bool) -> Quant:
    per_channel = not bf16 and draw(st.booleans())
    bias = draw(st.booleans())
    plain = per_channel or bf16 or not bias
    return Quant(
        per_channel=per_channel,
        bias=bias,
        bias_signed=plain or draw(st.booleans()),
        records=_records(draw, spec, lane, channels) if per_channel or bias else 0,
        shift=0 if per_channel or bf16 else spans(draw, 0, 31),
        relu=draw(st.booleans()),
    )


@st.composite
def convs(draw: Draw, spec: ChipSpec, *, depthwise: bool = False) -> Conv | Depthwise:
    n, ic, h, w = shape = draw(shapes(spec, 2))
    lane, layer = draw(lanes(spec)), draw(LAYERS)
    bf16 = draw(st.booleans())
    signed = bf16 or draw(st.booleans())
    source_lane = lane if depthwise else draw(lanes(spec))
    strides = None if depthwise else aligned(spec, shape, bf16, source_lane)
    source = tensor(draw, spec, shape, source_lane, signed=signed, bf16=bf16, strides=strides)
    window = draw(windows(spec, (h, w), signed=signed, bf16=bf16))
    oc = ic if depthwise else spans(draw, 1, 2 * spec.lanes)
    quant = draw(quants(spec, lane, oc, bf16))
    partial = _partial(draw, spec, depthwise, bf16)
    if partial & 2 and not depthwise:
        quant = Quant(per_channel=not bf16 and draw(st.booleans()))
    if partial and depthwise:
        quant = draw(quants(spec, lane, oc, True))
    weight, weight_signed, any_signed = _weight(draw, spec, lane, source, oc, depthwise)
    sign = bf16 or (any_signed and not (quant.relu and draw(st.booleans())))
    result_shape = (n, oc, *window_size(window, h, w))
    steps = _result_strides(draw, spec, result_shape, 2 if bf16 else 1)
    plane = n * steps[0] if partial else 0
    behind = (1 if bf16 else 3) * plane
    result = tensor(
        draw,
        spec,
        result_shape,
        lane,
        signed=sign,
        bf16=bf16,
        strides=steps,
        unit=16,
        behind=behind,
    )
    kind = Depthwise if depthwise else Conv
    return kind(
        result=result,
        input=source,
        weight=weight,
        window=window,
        quant=quant,
        weight_signed=weight_signed,
        partial=partial,
        partial_plane=plane,
        layer=layer,
    )


def _partial(draw: Draw, spec: ChipSpec, depthwise: bool, bf16: bool) -> int:
    if not depthwise:
        return spans(draw, 0, 3)
    able = bf16 and "depthwise_partial" in spec.features
    return draw(st.sampled_from([0, 2])) if able else 0


def _weight(
    draw: Draw, spec: ChipSpec, lane: int, source: Local, oc: int, depthwise: bool
) -> tuple[int | Const, bool, bool]:
    """(weight, weight_signed, whether input or weight is signed)."""
    if draw(st.booleans()) and draw(st.booleans()):
        constant = draw(constants(8, source.bf16))
        return constant, True, source.signed or constant.signed
    signed = source.bf16 or draw(st.booleans())
    size = 2 * 4 * 4 * (16 if depthwise else source.shape[1])
    size = min(size * groups(lane * spec.lane_bytes, oc, spec), spec.lane_bytes)
    return place(draw, spec, lane, size, 16 if depthwise else 1), signed, source.signed or signed


def _result_strides(draw: Draw, spec: ChipSpec, shape: Shape4, element: int) -> Shape4:
    sn, sc, sh, sw = draw(free_strides(spec, shape, element))
    return (align(sn, 16), sc, sh, sw)


@st.composite
def pools(draw: Draw, spec: ChipSpec, op: PoolOp | None = None) -> Pool:
    kinds = [k for k in PoolOp if k is not PoolOp.MIN or "min_pool" in spec.features]
    op = op or draw(st.sampled_from(kinds))
    n, c, h, w = shape = draw(shapes(spec))
    lane, layer, bf16 = draw(lanes(spec)), draw(LAYERS), draw(st.booleans())
    signed, average = bf16 or draw(st.booleans()), op is PoolOp.AVG
    window = draw(windows(spec, (h, w), signed=signed, bf16=bf16, dilates=False, inserts=average))
    rows, columns = window_size(window, h, w)
    result = (n, c, spans(draw, 1, rows), columns)

    def make(shape: Shape4) -> Local:
        strides = aligned(spec, shape, bf16, lane)
        return tensor(draw, spec, shape, lane, signed=signed, bf16=bf16, strides=strides)

    return Pool(
        op=op,
        result=make(result),
        input=make(shape),
        window=window,
        multiplier=spans(draw, 0, 0xFFFF if bf16 else 0xFF) if average else 0,
        shift=spans(draw, 0, 31) if average and not bf16 else 0,
        layer=layer,
    )


def matrix(
    draw: Draw, spec: ChipSpec, rows: int, columns: int, c: int, w: int, lane: int, **kind: bool
) -> Matrix:
    bf16 = kind["bf16"]
    strides = matrix_strides(c, w, bf16, spec, lane)
    in_lane = groups(lane * spec.lane_bytes, c, spec)
    size = (rows - 1) * strides[0] + in_lane * strides[1]
    address = place(draw, spec, lane, min(4 * size, spec.lane_bytes), 16)
    return Matrix(address, rows, columns, c, w, strides, kind["signed"], bf16)


@st.composite
def matmuls(draw: Draw, spec: ChipSpec) -> MatMul:
    bf16, lane = draw(st.booleans()), draw(lanes(spec))
    rows, pieces = spans(draw, 1, 6), st.tuples(st.integers(1, spec.lanes), st.integers(1, 24))
    (lc, lw), (rc, rw) = draw(pieces), draw(pieces)
    depth = lw * (lc - 1) + spans(draw, 1, lw)
    depth, lc = (depth, lc) if depth <= 90 else (min(lw, depth), 1)
    left_signed, right_signed = (bf16 or draw(st.booleans()) for _ in range(2))
    right: Matrix | Const
    right = matrix(draw, spec, depth, rc * rw, rc, rw, lane, signed=right_signed, bf16=bf16)
    if "matrix_const" in spec.features and draw(st.booleans()):
        right = draw(constants(8, bf16, right_signed))
    any_signed = left_signed or right_signed
    mode = draw(st.sampled_from(["plain", "bf16"] if bf16 else ["plain", "wide", "add", "qm"]))
    partial = spans(draw, 0, 3) if mode not in ("wide", "add") else 0
    stores = bool(partial & 2)
    relu = mode in ("plain", "qm", "bf16") and not stores and draw(st.booleans())
    signed = any_signed and not (relu and not bf16 and draw(st.booleans()))
    result = matrix(draw, spec, rows, rc * rw, rc, rw, lane, signed=signed, bf16=bf16)
    has_bias = not stores and draw(st.booleans())
    bias_room = 4 * matrix_strides(rc, rw, bf16, spec, lane)[0] * 2
    return MatMul(
        result=result,
        left=matrix(draw, spec, rows, depth, lc, lw, lane, signed=left_signed, bf16=bf16),
        right=right,
        bias=place(draw, spec, lane, bias_room, 16) if has_bias else None,
        bias_signed=not has_bias or bf16 or draw(st.booleans()),
        multiplier=spans(draw, 0, 0xFFFFFFFF) if mode == "qm" and not stores else None,
        shift=0 if bf16 or stores else spans(draw, 0, 31),
        left_shift=spans(draw, 0, 31) if mode == "add" else 0,
        relu=relu,
        wide=mode == "wide" or (mode == "add" and not relu and draw(st.booleans())),
        add_result=mode == "add",
        partial=partial,
        partial_plane=rows * result.strides[0] if partial else 0,
        layer=draw(LAYERS),
    )


# -- TDMA ------------------------------------------------------------------


def dram(
    draw: Draw, shape: Shape4, *, signed: bool = True, bf16: bool = False, packed: bool = False
) -> Dram:
    element = 2 if bf16 else 1
    region, address = spans(draw, 0, 7), 16 * spans(draw, 0, 1 << 28)
    if packed or draw(st.booleans()):
        return Dram(region, address, shape, dense(shape, element), signed or bf16, bf16)
    _, c, h, w = shape
    sh = w * element + element * spans(draw, 0, 9)
    sc = h * sh + spans(draw, 0, 1 << 20)
    sn = c * sc + spans(draw, 0, 1 << 20)
    return Dram(region, address + spans(draw, 0, 15), shape, (sn, sc, sh), signed or bf16, bf16)


@st.composite
def copies(draw: Draw, spec: ChipSpec, kind: str | None = None) -> Copy:
    kind = kind or draw(st.sampled_from(["plain", "reshape", "nc", "cw", "hwc", "codec", "table"]))
    return _COPIES[kind](draw, spec)


def _ends(
    draw: Draw, spec: ChipSpec, way: str, source: Shape4, target: Shape4, bits: str, signed: bool
) -> dict[str, Local | Dram]:
    """Operands of a copy; way: two letters of G and L, bits: 8 or f (BF16) for each."""
    made: dict[str, Local | Dram] = {}
    for name, where, shape, form in zip(
        ("source", "target"), way, (source, target), bits, strict=True
    ):
        bf16 = form == "f"
        if where == "G":
            made[name] = dram(draw, shape, signed=signed, bf16=bf16)
        else:
            lane = draw(lanes(spec))
            made[name] = tensor(draw, spec, shape, lane, signed=signed, bf16=bf16, gap=1)
    return made


def _plain_copy(draw: Draw, spec: ChipSpec) -> Copy:
    shape = draw(shapes(spec))
    way, bits = draw(
        st.sampled_from(
            [(w, b) for w in ("GL", "LG", "GG", "LL") for b in ("88", "ff")]
            + [("GL", "8f"), ("LL", "8f"), ("LG", "f8"), ("LL", "f8")]
        )
    )
    ends = _ends(draw, spec, way, shape, shape, bits, draw(st.booleans()))
    rounds = bits == "f8" and draw(st.booleans())
    return Copy(**ends, int8_round_zero=rounds, layer=draw(LAYERS))


def _reshaping_copy(draw: Draw, spec: ChipSpec) -> Copy:
    n, c, h, w = draw(shapes(spec, 1))
    way = draw(st.sampled_from(["GL", "LG", "GG", "LL"]))
    ends = _ends(draw, spec, way, (n, c, h, w), (n, h, 1, w * c), "88", draw(st.booleans()))
    return Copy(**ends, layer=draw(LAYERS))


def _nc_copy(draw: Draw, spec: ChipSpec) -> Copy:
    n, c, h, w = draw(shapes(spec, 1))
    c = min(c, 12)
    way, bits = draw(
        st.sampled_from([("GL", "88"), ("GL", "8f"), ("GL", "ff"), ("LG", "88"), ("LG", "f8")])
    )
    ends = _ends(draw, spec, way, (n, c, h, w), (c, n, h, w), bits, draw(st.booleans()))
    return Copy(**ends, transpose=Transpose.NC, layer=draw(LAYERS))


def _cw_copy(draw: Draw, spec: ChipSpec) -> Copy:
    n, c, h, w = draw(shapes(spec))
    ends = _ends(draw, spec, "LG", (n, c, h, w), (n, w, h, c), "88", draw(st.booleans()))
    return Copy(**ends, transpose=Transpose.CW, layer=draw(LAYERS))


def _hwc_copy(draw: Draw, spec: ChipSpec) -> Copy:
    n, _, h, w = draw(shapes(spec))
    mode = draw(st.sampled_from([Transpose.HWC3, Transpose.HWC4]))
    c = 3 if mode is Transpose.HWC3 else 4
    signed = draw(st.booleans())
    row = c * w + spans(draw, 0, 9)
    source = Dram(
        spans(draw, 0, 7), spans(draw, 0, 1 << 30), (n, c, h, w), (row * h, 1, row), signed
    )
    target = tensor(draw, spec, (n, c, h, w), draw(lanes(spec)), signed=signed, gap=1)
    return Copy(source=source, target=target, transpose=mode, layer=draw(LAYERS))


def _codec_copy(draw: Draw, spec: ChipSpec) -> Copy:
    shape = draw(shapes(spec))
    bf16, stores = draw(st.booleans()), draw(st.booleans())
    signed = bf16 or draw(st.booleans())
    stream = dram(draw, shape, signed=signed, bf16=bf16, packed=True)
    local = tensor(draw, spec, shape, draw(lanes(spec)), signed=signed, bf16=bf16, gap=1)
    return Copy(
        source=local if stores else stream,
        target=stream if stores else local,
        compressed=True,
        zero_guard=stores and draw(st.booleans()),
        bias0=spans(draw, 0, 255) if stores else 0,
        bias1=spans(draw, 0, 255) if stores else 0,
        layer=draw(LAYERS),
    )


def _table_copy(draw: Draw, spec: ChipSpec) -> Copy:
    shape = draw(shapes(spec))
    index = draw(st.booleans())
    ends = _ends(draw, spec, "LL", shape, shape, "ff", True)
    return Copy(**ends, lut_index=index, lut_base=not index, layer=draw(LAYERS))


_COPIES = {
    "plain": _plain_copy,
    "reshape": _reshaping_copy,
    "nc": _nc_copy,
    "cw": _cw_copy,
    "hwc": _hwc_copy,
    "codec": _codec_copy,
    "table": _table_copy,
}


@st.composite
def fills(draw: Draw, spec: ChipSpec) -> Fill:
    shape, bf16, signed = draw(shapes(spec)), draw(st.booleans()), draw(st.booleans())
    if draw(st.booleans()):
        target: Local | Dram = dram(draw, shape, signed=signed, bf16=bf16)
    else:
        target = tensor(draw, spec, shape, draw(lanes(spec)), signed=signed, bf16=bf16, gap=1)
    value = spans(draw, 0, 0xFFFF if bf16 else 0xFF)
    return Fill(target=target, value=value, layer=draw(LAYERS))


@st.composite
def matrix_copies(draw: Draw, spec: ChipSpec) -> MatrixCopy:
    loads, compressed = draw(st.booleans()), draw(st.booleans())
    transposed = loads and not compressed and draw(st.booleans())
    bits = "88" if transposed else draw(st.sampled_from(["88", "ff", "8f"]))
    bits = "ff" if compressed and bits == "8f" else bits
    outer, inner = bits[0] == "f", bits[1] == "f"
    signed, rows = draw(st.booleans()), spans(draw, 1, 20)
    c, w, lane = spans(draw, 1, spec.lanes), spans(draw, 1, 24), draw(lanes(spec))
    columns = w * (c - 1) + spans(draw, 1, w)
    local = matrix(draw, spec, rows, columns, c, w, lane, signed=signed or inner, bf16=inner)
    outer_rows, outer_columns = (columns, rows) if transposed else (rows, columns)
    width = outer_columns * (2 if outer else 1)
    other = dram_matrix(
        spans(draw, 0, 7),
        16 * spans(draw, 0, 1 << 28),
        outer_rows,
        outer_columns,
        row_stride=width if compressed else width + spans(draw, 0, 100_000),
        signed=signed or outer,
        bf16=outer,
    )
    guards = compressed and not loads
    return MatrixCopy(
        source=other if loads else local,
        target=local if loads else other,
        transposed=transposed,
        compressed=compressed,
        zero_guard=guards and draw(st.booleans()),
        bias0=spans(draw, 0, 255) if guards else 0,
        bias1=spans(draw, 0, 255) if guards else 0,
        layer=draw(LAYERS),
    )


@st.composite
def linear_copies(draw: Draw, spec: ChipSpec) -> LinearCopy:
    layer = draw(LAYERS)
    if draw(st.booleans()):
        shape, bf16 = draw(shapes(spec)), draw(st.booleans())
        ends = [dram(draw, shape, signed=bf16, bf16=bf16, packed=True) for _ in range(2)]
        size = prod(shape) * (2 if bf16 else 1)
        return LinearCopy(source=ends[0], target=ends[1], size=size, layer=layer)
    whole = spec.lanes * spec.lane_bytes
    size = spans(draw, 1, whole)
    local = spans(draw, 0, whole - size)
    shape = (1, 1, 1, size)
    other = Dram(spans(draw, 0, 7), spans(draw, 0, 1 << 30), shape, dense(shape), False)
    if draw(st.booleans()):
        return LinearCopy(source=other, target=local, size=size, layer=layer)
    return LinearCopy(source=local, target=other, size=size, layer=layer)


def kinds(spec: ChipSpec) -> dict[str, st.SearchStrategy[Instruction]]:
    """One strategy per instruction kind, by name."""
    found: dict[str, st.SearchStrategy[Instruction]] = {
        **{f"arith-{op.name}": ariths(spec, op) for op in arith_ops(spec)},
        "lut": luts(spec),
        "conv": convs(spec),
        "depthwise": convs(spec, depthwise=True),
        "pool": pools(spec),
        "matmul": matmuls(spec),
        **{f"copy-{kind}": copies(spec, kind) for kind in _COPIES},
        "fill": fills(spec),
        "matrix_copy": matrix_copies(spec),
        "linear_copy": linear_copies(spec),
    }
    if "tens_mdsum" in spec.tiu:
        found["mdsum"] = mdsums(spec)
    return found


def tiu_instructions(spec: ChipSpec) -> st.SearchStrategy[Instruction]:
    tdma = ("copy", "fill", "matrix_copy", "linear_copy")
    return st.one_of(*[s for name, s in kinds(spec).items() if not name.startswith(tdma)])


def instructions(spec: ChipSpec) -> st.SearchStrategy[Instruction]:
    return st.one_of(*kinds(spec).values())
