"""The quantised graph under construction, and what rules do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvi.ir import Array, DType, Graph, Input, Op, Shape
from cvi.ops import Reshape, Slice
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.bf16 import encode
from cvi_tpu.quantized.bf16_weights import RealBf16Filter
from cvi_tpu.quantized.casts import cast
from cvi_tpu.quantized.ops import Int8Add, Int8Clip, Int8Requant
from cvi_tpu.quantized.scales import (
    LOWEST,
    OFFSET_STEPS,
    STEPS,
    add_rates,
    gain,
    same_scale,
    to_steps,
)
from cvi_tpu.quantized.thresholds import Thresholds, no_table
from cvi_tpu.quantized.weights import RealFilter, quantise_tensor


@dataclass(frozen=True)
class Operand:
    """A tensor of the quantised graph: its name, shape, scale (1 for floats), type, and the
    integer that stands for 0."""

    name: str
    shape: Shape
    scale: float
    dtype: DType = DType.INT8
    zero: int = 0


class Rewriter:
    """Builds the quantised graph layer by layer.

    A value of the float graph has one or more forms: int8, BF16, fp32. The first is the one
    in which it is computed; casts are added when a form is asked for that is not there
    yet, and shared by all who ask. precision: of the layer that is being quantised;
    int8_weights: whether it stores such although it computes in BF16; read_in: the precisions
    of those that read its result. offsets: layers with an offset result. filters: by the
    name of the stored weights, filters whose weights may be rounded otherwise.
    """

    def __init__(
        self,
        source: Graph,
        thresholds: Thresholds | None,
        spec: ChipSpec,
        offsets: frozenset[str] = frozenset(),
    ) -> None:
        self.source = source
        self.offsets = offsets
        self.spec = spec
        self.graph = Graph(source.name)
        self.precision = DType.INT8
        self.int8_weights = False
        self.read_in: frozenset[DType] = frozenset()
        self.filters: dict[str, RealFilter | RealBf16Filter] = {}
        self._thresholds = thresholds
        self._forms: dict[str, dict[DType, Operand]] = {}
        self._indices: set[str] = set()
        self._stores: dict[int, str] = {}
        self._parts: dict[str, tuple[Operand, ...]] = {}

    # -- the float graph ----------------------------------------------------

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the tensors. InputError when there is no table."""
        if self._thresholds is None:
            raise no_table(self.source)
        return self._thresholds

    def constant(self, name: str) -> Array | None:
        """The array of a constant operand, None for a computed or an absent one."""
        return self.source.constants.get(name)

    def scale(self, name: str) -> float:
        """Real value of one step of a layer's int8 result."""
        return self.thresholds[name] / (OFFSET_STEPS if name in self.offsets else STEPS)

    def zero(self, name: str) -> int:
        """The integer that stands for 0 in a layer's int8 result."""
        return LOWEST if name in self.offsets else 0

    def means(self, name: str) -> Array | None:
        """Mean of each channel of a tensor on the calibration images, None when not known."""
        if self._thresholds is None:
            return None
        found = self._thresholds.table.means.get(name)
        return None if found is None else np.array(found)

    def weight_thresholds(self, layer: str) -> Sequence[float] | None:
        """Per-channel filter thresholds that the calibration table prescribes."""
        return self.thresholds.table.weights.get(layer)

    def least(self, name: str) -> float:
        """The smallest value that calibration saw in a tensor, 0 when it is not known."""
        entry = self.thresholds.table.entries.get(name)
        return entry.min if entry else 0.0

    # -- operands -------------------------------------------------------------

    def computed_in(self, name: str) -> DType | None:
        """The element type in which a value is computed; None for a constant."""
        if name in self.source.constants:
            return None
        if name in self._parts:
            return DType.INT8
        return next(iter(self._forms.get(name, ())), None)

    def is_index(self, name: str) -> bool:
        """Whether a value is made of positions."""
        return name in self._indices

    def is_float(self, name: str) -> bool:
        """Whether a value is computed in fp32."""
        return self.computed_in(name) is DType.FP32

    def form(self, name: str, dtype: DType) -> Operand:
        """A value in an element type; a constant int8 operand gets a scale of its own.
        Positions stay as they are."""
        forms = self._forms.setdefault(name, {})
        if name in self._indices:
            return next(iter(forms.values()))
        if dtype not in forms:
            if name in self._parts and not forms:
                forms[DType.INT8] = self._joined(name)
                return self.form(name, dtype)
            known = self.constant(name) is not None
            forms[dtype] = self._stored(name, dtype) if known else cast(self, name, forms, dtype)
        return forms[dtype]

    def operand(self, name: str) -> Operand:
        """A value in the precision of the layer that is being quantised."""
        return self.form(name, self.precision)

    def int8(self, name: str) -> Operand:
        """The int8 form of a value; a constant gets a scale of its own."""
        return self.form(name, DType.INT8)

    def bf16(self, name: str) -> Operand:
        """The BF16 form of a value."""
        return self.form(name, DType.BF16)

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

    def fp32(self, name: str) -> str:
        """Name of the fp32 form of a value."""
        return self.form(name, DType.FP32).name

    def _stored(self, name: str, dtype: DType) -> Operand:
        values, scale = self.source.constants[name], 1.0
        if dtype is DType.INT8:
            values, scale = quantise_tensor(values)
        elif dtype is DType.BF16:
            values = encode(values)
        return Operand(self.store(name, dtype.value, values), tuple(values.shape), scale, dtype)

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
        """Add a constant; returns its name. The steps of a layer share what is equal."""
        array = np.ascontiguousarray(array)
        content = (layer, suffix, array.dtype.str, array.shape, array.tobytes())
        known = self._stores.get(hash(content))
        if known is None or not np.array_equal(self.graph.constants[known], array):
            known = self._stores[hash(content)] = self.fresh(layer, suffix)
            self.graph.constants[known] = array
        return known

    def add(self, op: Op) -> Operand:
        """Add a helper op."""
        return self._operand(self.graph.add(op))

    def define(self, op: Op) -> None:
        """Add the op that computes the layer of the same name, in its own element type."""
        operand = self._operand(self.graph.add(op))
        self._forms.setdefault(op.name, {})[operand.dtype] = operand

    def define_int8(self, op: Op) -> None:
        """Add the op that computes the layer of the same name in int8."""
        self.define(op)

    def define_parts(self, name: str, parts: Sequence[Operand]) -> None:
        """Say that these add up to the layer of that name, of which no other form is made
        before somebody asks for it."""
        self._parts[name] = tuple(parts)

    def define_fp32(self, op: Op) -> None:
        """Add the op that computes the layer of the same name in fp32 (or moves integers)."""
        self.define(op)

    def define_indices(self, op: Op) -> None:
        """Add the op that computes positions, which steps of a scale cannot express."""
        self.define(op)
        self._indices.add(op.name)

    def define_input(self, op: Input, dtype: DType) -> None:
        """Add a network input with elements of that type; integers stay as they are."""
        if op.type.dtype is not DType.FP32:
            self.define_indices(op)
            return
        scale = self.scale(op.name) if dtype is DType.INT8 else None
        self.define(op.with_(type=replace(op.type, dtype=dtype, scale=scale)))

    def _operand(self, op: Op) -> Operand:
        dtype, scale = op.type.dtype, op.type.scale
        assert scale is not None or dtype is not DType.INT8, f"{op.kind} {op.name} has no scale"
        return Operand(op.name, op.type.shape, scale or 1.0, dtype, op.type.zero)


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

    def cut(self, suffix: str, sizes: Shape) -> None:
        """Append a Slice of the first elements of every axis."""
        zeros, ones = (0,) * len(sizes), (1,) * len(sizes)
        self.then(suffix, Slice(name="", inputs=("",), starts=zeros, sizes=sizes, steps=ones))

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
        self.to.define(op.with_(name=self.layer.name, source=self.layer.source))
