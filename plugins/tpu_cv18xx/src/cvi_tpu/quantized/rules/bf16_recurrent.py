"""Recurrent layers in BF16, one step of the sequence after the other.

The products with the input are one fully connected layer for all steps, with all biases
that can be added there; a step adds the product with the state before. Tensors of a step
are [N, features, 1, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from cvi.ir import Array, DType, Graph
from cvi.ops import Concat, Gru, Lstm, Recurrent, Reshape, Sigmoid, Slice, Tanh
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.bf16_tables import Lines
from cvi_tpu.quantized.ops import Bf16Add, Bf16Eltwise, Bf16Mul, Bf16Sub
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import convolve_bf16
from cvi_tpu.quantized.rules.bf16_functions import curve_of, interpolated
from cvi_tpu.quantized.rules.filters import Window

_SIGMOID, _TANH = curve_of(Sigmoid(name="")), curve_of(Tanh(name=""))

State = Operand | None
"""A state before a step; None for zeros."""


class _Pass(ABC):
    """One direction of a layer: its weights, and how a step is computed."""

    def __init__(self, op: Recurrent, to: Rewriter, direction: int) -> None:
        self.op, self.to, self.direction = op, to, direction
        self.steps, self.batch, _ = to.source.type_of(op.inputs[0]).shape
        self.r = to.source.constants[op.inputs[2]][direction]
        self.size = self.r.shape[1]
        names = (*op.inputs, "", "", "")
        bias = to.constant(names[3])
        both = np.zeros(2 * len(self.r), np.float32) if bias is None else bias[direction]
        early, late = np.split(both, 2)
        self.late = self.kept(late)
        self.given = self._given(early + late - self.late)
        self.initial = [self._initial(name) for name in names[4 : 4 + len(op.states)]]

    def kept(self, late: Array) -> Array:
        """The part of the recurrence's bias that cannot be added to the input's."""
        return np.zeros_like(late)

    @abstractmethod
    def step(self, given: Operand, states: Sequence[State]) -> list[Operand]:
        """The states after a step; given[N, gates*H, 1, 1] comes from the input."""

    def run(self) -> tuple[list[Operand], list[State]]:
        """The hidden states of all steps, in the order of the sequence, and the final states."""
        backwards = self.op.direction == "reverse" or self.direction == 1
        order = range(self.steps)[:: -1 if backwards else 1]
        states: list[State] = self.initial
        hidden: dict[int, Operand] = {}
        for t in order:
            reached = self.step(self._at(t), states)
            hidden[t], states = reached[0], list(reached)
        return [hidden[t] for t in range(self.steps)], states

    # -- operands ---------------------------------------------------------------

    def _given(self, bias: Array) -> Operand:
        """What the input gives every step, [T*N, gates*H, 1, 1]."""
        w = self.to.source.constants[self.op.inputs[1]][self.direction]
        x = self.to.bf16(self.op.inputs[0])
        chain = Chain(self.to, self.op, x)
        chain.reshape("rows", (self.steps * self.batch, w.shape[1], 1, 1))
        convolve_bf16(chain, Window(), w.reshape(*w.shape, 1, 1), bias)
        return chain.end()

    def _at(self, t: int) -> Operand:
        rows, features, *_ = self.given.shape
        if rows == self.batch:
            return self.given
        return self._cut(self.given, (t * self.batch, 0, 0, 0), (self.batch, features, 1, 1))

    def _initial(self, name: str) -> State:
        if not name:
            return None
        x = self.to.bf16(name)
        flat = x.shape[0] * self.batch, self.size, 1, 1
        x = self.to.reshaped(x, flat, self.op.name, "state")
        if x.shape[0] == self.batch:
            return x
        starts = (self.direction * self.batch, 0, 0, 0)
        values = self.to.graph.constants.get(x.name)
        if values is not None:
            part = values[starts[0] : starts[0] + self.batch]
            return Operand(self.to.store(self.op.name, "state", part), part.shape, 1.0, DType.BF16)
        return self._cut(x, starts, (self.batch, self.size, 1, 1))

    def _cut(self, x: Operand, starts: tuple[int, ...], sizes: tuple[int, ...]) -> Operand:
        name = self.to.fresh(self.op.name, "cut")
        return self.to.add(
            Slice(name=name, inputs=(x.name,), starts=starts, sizes=sizes, steps=(1,) * 4)
        )

    # -- arithmetic -------------------------------------------------------------

    def recurrence(self, state: Operand, first: int, count: int) -> Operand:
        """The product of a state with the matrices of some gates, and the bias kept."""
        rows = slice(first * self.size, (first + count) * self.size)
        weight, bias = self.r[rows], self.late[rows]
        chain = Chain(self.to, self.op, state)
        kernel = weight.reshape(*weight.shape, 1, 1)
        convolve_bf16(chain, Window(), kernel, bias if bias.any() else None)
        return chain.end()

    def join(self, kind: type[Bf16Eltwise], a: Operand, b: Operand) -> Operand:
        """One instruction on two tensors."""
        name = self.to.fresh(self.op.name, kind.__name__.lower())
        return self.to.add(kind(name=name, inputs=(a.name, b.name)))

    def gates(self, x: Operand, first: int, count: int = 1) -> Operand:
        """The features of some gates."""
        starts, sizes = (0, first * self.size, 0, 0), (self.batch, count * self.size, 1, 1)
        return self._cut(x, starts, sizes)

    def curve(self, x: Operand, table: Lines) -> Operand:
        """A sigmoid or tanh."""
        chain = Chain(self.to, self.op, x)
        interpolated(chain, "curve", table)
        return chain.end()


class _LstmPass(_Pass):
    """Gates i, o, f, c: c' = f*c + i*tanh(...), h' = o*tanh(c')."""

    def step(self, given: Operand, states: Sequence[State]) -> list[Operand]:
        hidden, cell = states
        total = given
        if hidden is not None:
            total = self.join(Bf16Add, self.recurrence(hidden, 0, 4), given)
        opened = self.curve(self.gates(total, 0, 3), _SIGMOID)
        candidate = self.curve(self.gates(total, 3), _TANH)
        new = self.join(Bf16Mul, self.gates(opened, 0), candidate)
        if cell is not None:
            new = self.join(Bf16Add, self.join(Bf16Mul, self.gates(opened, 2), cell), new)
        output = self.gates(opened, 1)
        return [self.join(Bf16Mul, output, self.curve(new, _TANH)), new]


class _GruPass(_Pass):
    """Gates z, r, h: h' = n + z*(h - n) with n = tanh(...)."""

    op: Gru

    def kept(self, late: Array) -> Array:
        """The reset gate multiplies the bias of the last gate where it comes after it."""
        kept = np.zeros_like(late)
        if self.op.linear_before_reset:
            kept[2 * len(late) // 3 :] = late[2 * len(late) // 3 :]
        return kept

    def step(self, given: Operand, states: Sequence[State]) -> list[Operand]:
        (hidden,) = states
        if hidden is None:
            hidden = self._zeros()
        early = self.gates(given, 0, 2)
        opened = self.curve(self.join(Bf16Add, self.recurrence(hidden, 0, 2), early), _SIGMOID)
        update, reset = self.gates(opened, 0), self.gates(opened, 1)
        if self.op.linear_before_reset:
            added = self.join(Bf16Mul, reset, self.recurrence(hidden, 2, 1))
        else:
            added = self.recurrence(self.join(Bf16Mul, reset, hidden), 2, 1)
        candidate = self.curve(self.join(Bf16Add, self.gates(given, 2), added), _TANH)
        step = self.join(Bf16Mul, update, self.join(Bf16Sub, hidden, candidate))
        return [self.join(Bf16Add, step, candidate)]

    def _zeros(self) -> Operand:
        """A state of zeros: the bias of the last gate is multiplied even then."""
        zeros = np.zeros((self.batch, self.size, 1, 1), np.uint16)
        name = self.to.store(self.op.name, "zeros", zeros)
        return Operand(name, zeros.shape, 1.0, DType.BF16)


@quantizes(Lstm, precision=DType.BF16)
def lstm(op: Lstm, to: Rewriter) -> None:
    """Every step by itself, in one direction or two."""
    _layer(op, to, [_LstmPass(op, to, d) for d in range(_directions(op))])


@quantizes(Gru, precision=DType.BF16)
def gru(op: Gru, to: Rewriter) -> None:
    """Every step by itself, in one direction or two."""
    _layer(op, to, [_GruPass(op, to, d) for d in range(_directions(op))])


def _directions(op: Recurrent) -> int:
    return 2 if op.direction == "bidirectional" else 1


def _layer(op: Recurrent, to: Rewriter, passes: Sequence[_Pass]) -> None:
    """The sequence of hidden states, or final states, of all directions."""
    found = [one.run() for one in passes]
    if op.result == "sequence":
        parts = [hidden[t] for t in range(passes[0].steps) for hidden, _ in found]
    else:
        which = op.states.index(op.result)
        parts = [final for _, states in found if (final := states[which]) is not None]
    names = [_unlike(to, op, part) for part in parts]
    chain = Chain(to, op, names[0])
    if len(names) > 1:
        others = tuple(x.name for x in names[1:])
        chain.then("joined", Concat(name="", inputs=("", *others), axis=0))
    chain.reshape("shape", op.type.shape)
    chain.close()


def _unlike(to: Rewriter, op: Recurrent, x: Operand) -> Operand:
    """A state as one entry of the result."""
    name = to.fresh(op.name, "state")
    return to.add(Reshape(name=name, inputs=(x.name,), shape=(1, *x.shape[:2])))


@requires(Lstm, Gru, precision=DType.BF16)
def weights_are_constant(op: Recurrent, graph: Graph, spec: ChipSpec) -> bool:
    """the weights or biases of the layer are computed

    fold the computation into the model
    """
    return all(not name or name in graph.constants for name in op.inputs[1:4])
