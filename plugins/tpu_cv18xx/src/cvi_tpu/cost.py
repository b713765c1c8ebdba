"""Estimated cycles and DRAM traffic of typed instructions (FACTS_COST 1 to 3).

An estimate for comparing two programs on one chip, fitted to one trace of a CV183x: no
promise of latency. The same formulas, applied to decoded files, give the same numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from math import ceil

from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.errors import InstructionError
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Copy,
    Depthwise,
    Engine,
    Fill,
    Instruction,
    LinearCopy,
    MatMul,
    MatrixCopy,
    Mdsum,
    Pool,
    PoolOp,
    Quant,
    Tdma,
    Transpose,
    Window,
)
from cvi_tpu.isa.instructions import Lut as TableLookup
from cvi_tpu.isa.operands import Dram, Local, Matrix, ceil_div
from cvi_tpu.isa.stream import segments

BEAT = 16
"""Bytes of one DRAM beat."""
EU = 16
"""8-bit elements a lane computes per cycle; BF16: half of it."""
LOAD_START, STORE_START, LOCAL_START = 120.0, 78.0, 100.0
LOAD_BEAT, STORE_BEAT = 1.66, 1.54
TIU_START, ARITH_START = 41.0, 26.0
END, END_PER_CHANNEL = 12.0, 31.0


@dataclass(frozen=True)
class Cost:
    """cycles of the engine; bytes read from and written to DRAM; multiply-adds."""

    cycles: float
    read: int = 0
    written: int = 0
    macs: int = 0


def cycles(instruction: Instruction, spec: ChipSpec) -> float:
    """Estimated cycles that the instruction keeps its engine busy."""
    return cost(instruction, spec).cycles


def cost(instruction: Instruction, spec: ChipSpec) -> Cost:
    """Cycles, DRAM traffic and multiply-adds of an instruction."""
    if isinstance(instruction, Tdma):
        return _transfer(instruction)
    if isinstance(instruction, Conv):
        return _conv(instruction, spec)
    if isinstance(instruction, Depthwise):
        return _depthwise(instruction, spec)
    if isinstance(instruction, Pool):
        return _pool(instruction, spec)
    if isinstance(instruction, MatMul):
        return _matmul(instruction, spec)
    if isinstance(instruction, TableLookup):
        rows = 32 if instruction.input.bf16 else 16
        return Cost(_rounds(instruction.result, spec) * (rows + 3) + ARITH_START + END)
    if isinstance(instruction, Mdsum):
        return Cost(_rounds(instruction.result, spec) * 3 + ARITH_START + END)
    if isinstance(instruction, Arith):
        return _arith(instruction, spec)
    raise TypeError(f"no cost for {type(instruction).__name__}")


# -- compute ---------------------------------------------------------------


def _rounds(result: Local, spec: ChipSpec) -> int:
    """Steps of all lanes times one group of elements over the whole result."""
    n, c, h, w = result.shape
    start = result.address // spec.lane_bytes
    step = EU // 2 if result.bf16 else EU
    return n * ceil_div(start + c, spec.lanes) * ceil_div(h * w, step)


def _shift(bf16: bool, per_channel: bool) -> int:
    """Cycles of rounding and shifting after the last product of a round."""
    return 2 if bf16 else 1 if per_channel else 4


def _bias(quant: Quant) -> int:
    return 2 if quant.bias and not quant.per_channel else 0


def _partial(mode: int) -> int:
    return (0, 4, 4, 8)[mode]


def _loop(cycles: float, per_channel: bool) -> float:
    """A per-channel round takes at least EU cycles: its records are read meanwhile."""
    return max(cycles, EU) if per_channel else cycles


def _end(per_channel: bool) -> float:
    return END_PER_CHANNEL if per_channel else END


def _span(width: float, window: Window) -> float:
    """Input elements under `width` outputs of a row."""
    return (width - 1) * window.stride[1] / (window.insert[1] + 1) + 1


def _volume(shape: tuple[int, ...]) -> int:
    volume = 1
    for dim in shape:
        volume *= dim
    return volume


def is_double(conv: Conv) -> bool:
    """Whether two input channels are computed per cycle (FACTS_TPU 3.5)."""
    if conv.input.bf16 or isinstance(conv.weight, Const):
        return False
    channels = conv.input.shape[1]
    even = conv.input.address % 2 == 0 and channels % 2 == 0 and conv.weight % 2 == 0
    return even and channels >= 4


def _conv(conv: Conv, spec: ChipSpec) -> Cost:
    taps, channels = conv.window.kernel[0] * conv.window.kernel[1], conv.input.shape[1]
    bf16 = conv.result.bf16
    per_channel = conv.quant.per_channel and not conv.partial & 2
    fetch = ceil(_span(EU, conv.window) / EU) + 1
    loop: float = taps * ceil_div(channels, 2 if is_double(conv) else 1)
    loop += taps * max(fetch - channels, 0)
    loop += _bias(conv.quant) + _shift(bf16, per_channel) + _partial(conv.partial)
    if not bf16:
        loop = _loop(loop, per_channel)
    busy = TIU_START + _rounds(conv.result, spec) * loop + _end(per_channel)
    return Cost(busy, macs=_volume(conv.result.shape) * channels * taps)


def _depthwise(op: Depthwise, spec: ChipSpec) -> Cost:
    taps, width = op.window.kernel[0] * op.window.kernel[1], op.result.shape[3]
    bf16, per_channel = op.result.bf16, op.quant.per_channel
    shift, reads = _shift(bf16, per_channel), 1.0
    if taps == 1:
        shift = shift if per_channel and bf16 else 3
    else:
        rows = 1.0 if width >= EU else EU / width
        reads = _span(min(width, EU), op.window) / EU * rows + (EU - 1) / EU
    loop = _loop(int(taps * reads), per_channel) + _bias(op.quant) + shift
    busy = _rounds(op.result, spec) * loop + _end(per_channel)
    return Cost(busy, macs=_volume(op.result.shape) * taps)


def _pool(op: Pool, spec: ChipSpec) -> Cost:
    taps = op.window.kernel[0] * op.window.kernel[1]
    step = EU // 2 if op.result.bf16 else EU
    span, reads = _span(step, op.window), 1.0
    if op.result.shape[2] * op.result.shape[3] > 1:
        more = step - 1 if span >= step else span - 1
        reads = max(span / step + more / step, 1.0)
    rounds = _rounds(op.result, spec)
    if op.op is not PoolOp.AVG:
        return Cost(rounds * (taps * reads + 2))
    return Cost(rounds * (int(taps * reads) + _shift(op.result.bf16, False)) + END)


def _matmul(op: MatMul, spec: ChipSpec) -> Cost:
    result, depth = op.result, op.left.columns
    step = EU // 2 if result.bf16 else EU
    per_channel = op.multiplier is not None
    bias = 2 if op.bias is not None and not per_channel else 0
    loop = depth + bias + _shift(result.bf16, per_channel) + _partial(op.partial)
    loop += 2 if op.add_result else 0
    rounds = result.rows * ceil_div(result.c, spec.lanes) * ceil_div(result.w, step)
    busy = TIU_START + rounds * loop + _end(per_channel)
    return Cost(busy, macs=result.rows * result.c * result.w * depth)


_SIMPLE = {ArithOp.MAX, ArithOp.MIN, ArithOp.AND, ArithOp.OR, ArithOp.XOR}


def _latency(op: Arith, byte_out: bool) -> float:
    """Cycles of one round without its result's part."""
    byte_in = op.left.plane == 0
    if op.op is ArithOp.MUL:
        return (2.5 if byte_in else 4.5) + (3 if byte_out else 0)
    if op.op is ArithOp.MAC:
        return 9 if byte_in else 11
    if op.op in (ArithOp.ADD, ArithOp.SUB):
        return 5 if byte_in else 6.5 if isinstance(op.right, Const) else 7
    if op.op is ArithOp.COPY:
        return 2 if byte_in else 4
    if op.op in _SIMPLE:
        return 3 if byte_in else 5
    return 4 if op.op is ArithOp.SHIFT else 5


def _arith(op: Arith, spec: ChipSpec) -> Cost:
    byte_out = op.result.plane == 0 or op.narrow
    latency = _latency(op, byte_out) + (0 if byte_out else 1)
    misaligned = 1 if op.result.strides[1] % BEAT == 0 else 30 / 16
    end = _end(op.multiplier is not None)
    return Cost(_rounds(op.result, spec) * latency * misaligned + ARITH_START + end)


# -- transfers -------------------------------------------------------------


def beats(tensor: Dram) -> int:
    """Beats of a DRAM access: every contiguous run takes whole beats (FACTS_COST 2)."""
    n, c, h, w = tensor.shape
    n_stride, c_stride, h_stride = tensor.strides
    row, plane = w * tensor.element_bytes, h * w * tensor.element_bytes
    if h_stride != row:
        return n * c * h * ceil_div(row, BEAT)
    if c_stride != plane:
        return n * c * ceil_div(plane, BEAT)
    if n == 1 or n_stride == c * c_stride:
        return ceil_div(n * c * plane, BEAT)
    return n * ceil_div(c * plane, BEAT)


def size(tensor: Local | Dram | Matrix) -> int:
    """Bytes of an operand, padding not counted."""
    if isinstance(tensor, Matrix):
        return tensor.rows * tensor.columns * tensor.element_bytes
    return _volume(tensor.shape) * tensor.element_bytes


def _transfer(op: Tdma) -> Cost:
    if isinstance(op, LinearCopy):
        whole = ceil_div(op.size, BEAT)
        read = whole if isinstance(op.source, Dram) else 0
        written = whole if isinstance(op.target, Dram) else 0
        return _moved(op.size if read else 0, read, op.size if written else 0, written, op.size)
    if isinstance(op, Fill):
        if isinstance(op.target, Local):
            return Cost(LOAD_START)
        return _moved(0, 0, size(op.target), beats(op.target), 0)
    assert isinstance(op, (Copy, MatrixCopy))
    read = written = read_beats = write_beats = 0
    turn = op.transpose if isinstance(op, Copy) else None
    if isinstance(op.source, Dram):
        read, read_beats = size(op.source), beats(op.source)
        if turn in (Transpose.HWC3, Transpose.HWC4):
            read_beats = ceil_div(read, BEAT)
    if isinstance(op.target, Dram):
        written, write_beats = size(op.target), beats(op.target)
        if turn is Transpose.CW:
            write_beats = written // op.target.element_bytes
    return _moved(read, read_beats, written, write_beats, size(op.source))


def _moved(read: int, read_beats: int, written: int, write_beats: int, inside: int) -> Cost:
    if not read and not written:
        return Cost(LOCAL_START + ceil_div(inside, BEAT))
    start = STORE_START if written else LOAD_START
    return Cost(start + LOAD_BEAT * read_beats + STORE_BEAT * write_beats, read, written)


# -- both engines ------------------------------------------------------------


@dataclass(frozen=True)
class Totals:
    """A program's estimate. makespan: cycles from the first start to the last end; the
    engines' own cycles; DRAM bytes; multiply-adds; commands."""

    makespan: float = 0.0
    tiu_cycles: float = 0.0
    tdma_cycles: float = 0.0
    read: int = 0
    written: int = 0
    macs: int = 0
    tiu_commands: int = 0
    tdma_commands: int = 0

    def __add__(self, other: Totals) -> Totals:
        """Both programs, one after the other."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Totals(*(a + b for a, b in pairs))


def schedule(commands: Sequence[Command], spec: ChipSpec) -> Totals:
    """Totals of one routine whose engines run side by side, each in order; a command
    starts when its engine is free and the command it waits for has ended."""
    return sum((_segment(part, spec) for part in segments(commands)), Totals())


def _segment(commands: Sequence[Command], spec: ChipSpec) -> Totals:
    ends: dict[Engine, list[float]] = {engine: [0.0] for engine in Engine}
    busy, moved = dict.fromkeys(Engine, 0.0), Cost(0.0)
    for command in _in_time_order(commands):
        one = cost(command.instruction, spec)
        own, other = ends[command.engine], ends[_OTHER[command.engine]]
        own.append(max(own[-1], other[command.wait]) + one.cycles)
        busy[command.engine] += one.cycles
        moved = Cost(0.0, moved.read + one.read, moved.written + one.written, moved.macs + one.macs)
    return Totals(
        makespan=max(e[-1] for e in ends.values()),
        tiu_cycles=busy[Engine.TIU],
        tdma_cycles=busy[Engine.TDMA],
        read=moved.read,
        written=moved.written,
        macs=moved.macs,
        tiu_commands=len(ends[Engine.TIU]) - 1,
        tdma_commands=len(ends[Engine.TDMA]) - 1,
    )


_OTHER = {Engine.TIU: Engine.TDMA, Engine.TDMA: Engine.TIU}


def _in_time_order(commands: Sequence[Command]) -> Iterator[Command]:
    """The commands so that each comes after the one it waits for."""
    queues = {e: deque(c for c in commands if c.engine is e) for e in Engine}
    done = dict.fromkeys(Engine, 0)
    while any(queues.values()):
        moved = False
        for engine, queue in queues.items():
            while queue and queue[0].wait <= done[_OTHER[engine]]:
                done[engine], moved = queue[0].id, True
                yield queue.popleft()
        if not moved:
            raise InstructionError("the two engines wait for each other forever")
