"""Recurrent layers, with the weights and gate orders of ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvi.ir import Array, Op, Shape, TensorType
from cvi.ops.activation import Sigmoid
from cvi.ops.check import Types, broken, floats, rank, require

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Direction -> whether each pass over the sequence runs backwards."""

_sigmoid = Sigmoid(name="gate").function


@dataclass(frozen=True, kw_only=True)
class Recurrent(Op):
    """Base of the recurrent layers over a sequence x[T, N, I].

    direction: forward, reverse or bidirectional. result: "sequence" [T, dirs, N, H] or one of
    the class's final states [dirs, N, H].
    inputs: x, w[dirs, gates*H, I], r[dirs, gates*H, H], b[dirs, 2*gates*H] (biases of w, then
    of r) or "", and the initial states [dirs, N, H], each of which may be "" (zeros). All but
    x are constants or data.
    """

    direction: str
    result: str = "sequence"

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]]
    """Names of the final states, in the order of the initial ones."""

    def infer(self, inputs: Types) -> TensorType:
        known = ", ".join(_DIRECTIONS)
        require(self, self.direction in _DIRECTIONS, f"direction is not one of {known}")
        results = ("sequence", *self.states)
        require(self, self.result in results, f"result is not one of {', '.join(results)}")
        most = 4 + len(self.states)
        if not 3 <= len(inputs) <= most or any(t is None for t in inputs[:3]):
            raise broken(self, f"takes x, w, r and up to {most - 3} more operands")
        floats(self, inputs)
        x, w, r, *others = inputs
        assert x is not None and w is not None and r is not None
        steps, batch, width = rank(self, x, 3)
        dirs, hidden = len(_DIRECTIONS[self.direction]), rank(self, r, 3)[2]
        rows = self.gates * hidden
        self._fits("w", w, (dirs, rows, width))
        self._fits("r", r, (dirs, rows, hidden))
        for i, t in enumerate(others):
            label = ("the bias", "the first state", "the second state")[i]
            self._fits(label, t, (dirs, batch, hidden) if i else (dirs, 2 * rows))
        shape = (dirs, batch, hidden)
        return x.with_shape((steps, *shape) if self.result == "sequence" else shape)

    def _fits(self, label: str, t: TensorType | None, shape: Shape) -> None:
        wanted = "x".join(map(str, shape))
        require(self, t is None or t.shape == shape, f"{label} is {t} instead of {wanted}")

    def evaluate(self, *inputs: Array | None) -> Array:
        x, w, r, *others = inputs
        assert x is not None and w is not None and r is not None
        bias, *initial = (*others, None, None, None)[: 1 + len(self.states)]
        passes = [
            self._direction(
                x[::-1] if backwards else x,
                w[d],
                r[d],
                np.zeros(2 * len(w[d]), x.dtype) if bias is None else bias[d],
                [np.zeros((x.shape[1], r.shape[2]), x.dtype) if s is None else s[d]
                 for s in initial],
            )
            for d, backwards in enumerate(_DIRECTIONS[self.direction])
        ]  # fmt: skip
        if self.result != "sequence":
            which = self.states.index(self.result)
            return np.stack([states[which] for _, states in passes])
        turned = _DIRECTIONS[self.direction]
        outputs = [
            sequence[::-1] if backwards else sequence
            for (sequence, _), backwards in zip(passes, turned, strict=True)
        ]
        return np.stack(outputs, axis=1)

    def _direction(
        self, x: Array, w: Array, r: Array, bias: Array, states: list[Array]
    ) -> tuple[Array, list[Array]]:
        """One pass over the sequence: all hidden states [T, N, H] and the final states."""
        half = len(bias) // 2
        sequence = []
        for given in x @ w.T + bias[:half]:
            states = self.step(given, r, bias[half:], states)
            sequence.append(states[0])
        return np.stack(sequence), states

    def step(self, given: Array, r: Array, bias: Array, states: list[Array]) -> list[Array]:
        """The states after one element of the sequence.

        given[N, gates*H]: what comes from the input, its bias included. r, bias: recurrence.
        """
        raise NotImplementedError

    def split(self, values: Array) -> Iterator[Array]:
        """The parts of all gates, each [..., H]."""
        return iter(np.split(values, self.gates, axis=-1))


@dataclass(frozen=True, kw_only=True)
class Lstm(Recurrent):
    """LSTM with the gates i, o, f, c: c' = f*c + i*tanh(...), h' = o*tanh(c').

    inputs: x, w, r, b, initial_h, initial_c. result: sequence, hidden or cell.
    """

    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("hidden", "cell")

    def step(self, given: Array, r: Array, bias: Array, states: list[Array]) -> list[Array]:
        hidden, cell = states
        i, o, f, c = self.split(given + hidden @ r.T + bias)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(c)
        return [np.asarray(_sigmoid(o) * np.tanh(cell)), cell]


@dataclass(frozen=True, kw_only=True)
class Gru(Recurrent):
    """GRU with the gates z, r, h: h' = (1 - z)*tanh(...) + z*h.

    inputs: x, w, r, b, initial_h. result: sequence or hidden. linear_before_reset: the reset
    gate multiplies the product with the recurrence (and its bias) instead of the state.
    """

    linear_before_reset: bool = True

    gates: ClassVar[int] = 3
    states: ClassVar[tuple[str, ...]] = ("hidden",)

    def step(self, given: Array, r: Array, bias: Array, states: list[Array]) -> list[Array]:
        (hidden,) = states
        size = hidden.shape[-1]
        x_z, x_r, x_h = self.split(given)
        r_z, r_r, r_h = self.split(hidden @ r.T + bias)
        update, reset = _sigmoid(x_z + r_z), _sigmoid(x_r + r_r)
        if not self.linear_before_reset:
            r_h = (reset * hidden) @ r[2 * size :].T + bias[2 * size :]
            reset = np.ones(1, hidden.dtype)
        candidate = np.tanh(x_h + reset * r_h)
        return [np.asarray((1 - update) * candidate + update * hidden)]
