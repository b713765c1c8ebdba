"""The quantised graph under construction, and what rules do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvi.ir import Array, DType, Graph, Input, Op, Shape
from cvi.ops import Reshape
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Dequantize, Int8Add, Int8Clip, Int8Requant, Quantize
from cvi_tpu.quantized.scales import STEPS, add_rates, gain, same_scale, to_steps
from cvi_tpu.quantized.thresholds import Thresholds
from cvi_tpu.quantized.weights import quantise_tensor


@dataclass(frozen=True)
class Operand:
    """An int8 tensor of the quantised graph: its name, shape and scale."""

    name: str
    shape: Shape
    scale: float


class Rewriter:
    """Builds the quantised graph layer by layer.

    A value of the float graph has an int8 form, an fp32 form, or both; casts are added
    when a form is asked for that is not there yet, and shared by all who ask.
    """

    def __init__(self, source: Graph, thresholds: Thresholds, spec: ChipSpec) -> None:
        self.source = source
        self.spec = spec
        self.graph = Graph(source.name)
        self._thresholds = thresholds
        self._int8: dict[str, Operand] = {}
        self._fp32: dict[str, str] = {}
        self._parts: dict[str, tuple[Operand, ...]] = {}
        self._indices: set[str] = set()

    # -- the float graph ----------------------------------------------------

    def constant(self, name: str) -> Array | None:
        """The array of a constant operand, None for a computed or an absent one."""
        return self.source.constants.get(name)

    def scale(self, name: str) -> float:
        """Real value of one step of a layer's int8 result."""
        return self._thresholds[name] / STEPS

    def weight_thresholds(self, layer: str) -> Sequence[float] | None:
        """Per-channel filter thresholds that the calibration table prescribes."""
        return self._thresholds.table.weights.get(layer)

    def least(self, name: str) -> float:
        """The smallest value that calibration saw in a tensor, 0 when it is not known."""
        entry = self._thresholds.table.entries.get(name)
        return entry.min if entry else 0.0

    # -- operands -------------------------------------------------------------

    def is_index(self, name: str) -> bool:
        """Whether a value is made of positions."""
        return name in self._indices

    def is_float(self, name: str) -> bool:
        """Whether a value is computed in float (so far nobody needs it as int8)."""
        return name in self._fp32 and name not in self._int8

    def int8(self, name: str) -> Operand:
        """The int8 form of a value; a constant gets a scale of its own."""
        if name not in self._int8:
            values = self.constant(name)
            if name in self._parts:
                self._int8[name] = self._joined(name)
            else:
                stored = self._cast(name) if values is None else self._stored(name, values)
                self._int8[name] = stored
        return self._int8[name]

    def _joined(self, name: str) -> Operand:
        """The sum of the parts, in the steps of the coarsest."""
        parts = self._parts[name]
        scale = max(part.scale for part in parts)
        rates = add_rates([part.scale / scale for part in parts])
        total = Int8Add(
            name=self.fresh(name, "joined"), inputs=tuple(part.name for part in parts),
            out_scale=scale, multipliers=rates.multipliers, shift=rates.shift,
        )  # fmt: skip
        return self.add(total)

    def parts(self, name: str) -> tuple[Operand, ...]:
        """The int8 form of a value, or several that add up to it more precisely: for each
        element all but one are 0."""
        return self._parts.get(name) or (self.int8(name),)

    def _cast(self, name: str) -> Operand:
        quantised = Quantize(
            name=self.fresh(name, "quant_i8"),
            inputs=(self._fp32[name],),
            scale=1 / self.scale(name),
        )
        return self._operand(self.graph.add(quantised))

    def _stored(self, name: str, values: Array) -> Operand:
        array, scale = quantise_tensor(values)
        return Operand(self.store(name, "int8", array), tuple(array.shape), scale)

    def fp32(self, name: str) -> str:
        """Name of the fp32 form of a value."""
        if name not in self._fp32:
            values = self.constant(name)
            self._fp32[name] = (
                self._dequantised(name) if values is None else self.store(name, "fp32", values)
            )
        return self._fp32[name]

    def _dequantised(self, name: str) -> str:
        x = self.int8(name)
        cast = Dequantize(name=self.fresh(name, "dequant"), inputs=(x.name,), scale=x.scale)
        return self.graph.add(cast).name

    def int8_at(self, name: str, scale: float, helper: str, suffix: str) -> Operand:
        """The int8 form of a value in steps of `scale`; where it has other steps, a change
        of scale called `<helper>_<suffix>` is added."""
        values = self.constant(name)
        if values is not None:
            steps = np.rint(values.astype(np.float64) / scale)
            array = np.clip(steps, -128, 127).astype(np.int8)
            return Operand(self.store(helper, suffix, array), tuple(array.shape), scale)
        x = self.int8(name)
        if same_scale(x.scale, scale):
            return x
        op = requant(x.scale, scale).with_(name=self.fresh(helper, suffix), inputs=(x.name,))
        return self._operand(self.graph.add(op))

    def ranked(self, x: Operand, rank: int, helper: str, suffix: str) -> Operand:
        """The operand with leading dimensions of 1 up to the rank, as broadcasting needs."""
        shape = (1,) * (rank - len(x.shape)) + x.shape
        return self.reshaped(x, shape, helper, suffix)

    def reshaped(self, x: Operand, shape: Shape, helper: str, suffix: str) -> Operand:
        """The operand with another shape; where it has not, a Reshape is added that is called
        `<helper>_<suffix>`, or a constant is stored anew."""
        if x.shape == shape:
            return x
        values = self.graph.constants.get(x.name)
        if values is not None:
            return replace(x, name=self.store(helper, suffix, values.reshape(shape)), shape=shape)
        op = Reshape(name=self.fresh(helper, suffix), inputs=(x.name,), shape=shape)
        return replace(x, name=self.graph.add(op).name, shape=shape)

    # -- results --------------------------------------------------------------

    def fresh(self, layer: str, suffix: str) -> str:
        """A free name `<layer>_<suffix>` for a helper, free in the float graph too."""
        name, i = f"{layer}_{suffix}", 1
        while name in self.graph or name in self.source:
            name, i = f"{layer}_{suffix}_{i}", i + 1
        return name

    def store(self, layer: str, suffix: str, array: Array) -> str:
        """Add a constant; returns its name."""
        name = self.fresh(layer, suffix)
        self.graph.constants[name] = np.ascontiguousarray(array)
        return name

    def add(self, op: Op) -> Operand:
        """Add a helper op with an int8 result."""
        return self._operand(self.graph.add(op))

    def define_int8(self, op: Op) -> None:
        """Add the op that computes the layer of the same name in int8."""
        self._int8[op.name] = self._operand(self.graph.add(op))

    def define_parts(self, name: str, parts: Sequence[Operand]) -> None:
        """Say that these add up to the layer of that name, of which no other form is made
        before somebody asks for it."""
        self._parts[name] = tuple(parts)

    def define_fp32(self, op: Op) -> None:
        """Add the op that computes the layer of the same name in fp32 (or moves integers)."""
        self._fp32[op.name] = self.graph.add(op).name

    def define_indices(self, op: Op) -> None:
        """Add the op that computes positions, which steps of a scale cannot express."""
        self.define_fp32(op)
        self._indices.add(op.name)

    def define_input(self, op: Input, *, as_fp32: bool) -> None:
        """Add a network input: int8, or fp32 with a cast behind it; integers as they are."""
        if op.type.dtype is not DType.FP32:
            self.define_fp32(op)
            return
        if not as_fp32:
            quantised = replace(op.type, dtype=DType.INT8, scale=self.scale(op.name))
            self.define_int8(op.with_(type=quantised))
            return
        self.define_fp32(op)
        self.int8(op.name)

    def _operand(self, op: Op) -> Operand:
        scale = op.type.scale
        assert scale is not None, f"{op.kind} {op.name} has no scale"
        return Operand(op.name, op.type.shape, scale)


def requant(x_scale: float, y_scale: float, *, relu: bool = False) -> Int8Requant:
    """The op that changes x_scale into y_scale, still without name and operand."""
    weight, multiplier, shift = gain(x_scale / y_scale)
    return Int8Requant(
        name="",
        out_scale=y_scale,
        weight=weight,
        multiplier=multiplier,
        shift=shift,
        relu=relu,
    )


class Chain:
    """Ops one behind the other that together compute one layer.

    Each reads the result of the one before it as its first operand. The last one bears
    the layer's name, the others are called `<layer>_<suffix>`.
    """

    def __init__(self, to: Rewriter, layer: Op, x: Operand) -> None:
        self.to = to
        self.layer = layer
        self._x = x
        self._pending: tuple[str, Op] | None = None

    @property
    def shape(self) -> Shape:
        """Shape of the last result."""
        if self._pending is None:
            return self._x.shape
        op = self._pending[1]
        types = [self.to.graph.type_of(n) if n else None for n in op.inputs]
        return op.infer(types).shape

    def then(self, suffix: str, op: Op) -> None:
        """Append an op; its operands after the first are those already set."""
        self._flush()
        self._pending = suffix, op.with_(inputs=(self._x.name, *op.inputs[1:]))

    def _flush(self) -> None:
        if self._pending is not None:
            suffix, op = self._pending
            named = op.with_(name=self.to.fresh(self.layer.name, suffix))
            self._x = self.to.add(named)
            self._pending = None

    def reshape(self, suffix: str, shape: Shape) -> None:
        """Append a Reshape unless the shape is right already."""
        if self.shape != tuple(shape):
            self.then(suffix, Reshape(name="", inputs=("",), shape=tuple(shape)))

    def rescale(self, scale: float, y_scale: float, *, relu: bool = False) -> None:
        """Append the change from `scale` to `y_scale` unless they are one."""
        if not same_scale(scale, y_scale):
            self.then("raised", requant(scale, y_scale, relu=relu))

    def clamp(self, relu_max: float | None, scale: float) -> None:
        """Append the upper bound of a fused clamp unless saturation does its work."""
        if relu_max is None:
            return
        top = to_steps(relu_max, scale)
        if top < STEPS:
            self.then(
                "unclamped",
                Int8Clip(name="", inputs=("",), out_scale=scale, minimum=0, maximum=top),
            )

    def end(self) -> Operand:
        """The last result, when it is not the layer's own."""
        self._flush()
        return self._x

    def close(self) -> None:
        """Give the last op the layer's name; an empty chain becomes a plain copy of names."""
        if self._pending is None:
            self.then("", Reshape(name="", inputs=("",), shape=self._x.shape))
        assert self._pending is not None
        _, op = self._pending
        self.to.define_int8(op.with_(name=self.layer.name, source=self.layer.source))
