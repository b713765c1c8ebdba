"""A network: ops in execution order, constants, inputs and outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cvi.calibrate.table import Threshold
from cvi.errors import ModelError
from cvi.ir.op import Op, OpT
from cvi.ir.types import Array, DType, TensorType
from cvi.preprocess.spec import Preprocess


@dataclass(frozen=True, kw_only=True)
class Input(Op):
    """A network input. Its type is given, not inferred.

    preprocess: how an image becomes this tensor, None for plain tensors.
    file_layout: "NHWC" when the model file takes the input so, while the graph takes NCHW;
    "" when they are the same. file_dtype: the element type there when it is not a float,
    e.g. "uint8"; the graph takes the same numbers in fp32.
    """

    preprocess: Preprocess | None = None
    file_layout: str = ""
    file_dtype: str = ""

    def infer(self, inputs: object) -> TensorType:
        return self.type


@dataclass
class Graph:
    """Ops in execution order with the constants they use.

    Passes do not change a graph in place: they build a new one with `replace`.
    Arrays in `constants` are never written to (they may be memory-mapped files).
    thresholds: those of layers by name that the model itself brings, as integer models do;
    layers that a pass has removed may still be among them.
    """

    name: str
    ops: list[Op] = field(default_factory=list)
    outputs: tuple[str, ...] = ()
    constants: dict[str, Array] = field(default_factory=dict)
    thresholds: dict[str, Threshold] = field(default_factory=dict)

    # -- building ---------------------------------------------------------

    def add(self, op: OpT) -> OpT:
        """Append an op: checks its operands, infers its type, returns the typed op."""
        typed = op.with_(type=op.infer([self.type_of(n) if n else None for n in op.inputs]))
        if typed.name in self:
            raise ModelError("two layers have the same name", where=typed.name)
        self.append(typed)
        return typed

    def append(self, op: Op) -> None:
        """Append an op whose type is known and whose name is free."""
        index = self._index()
        self.ops.append(op)
        index[op.name] = op

    def constant(self, name: str, array: Array) -> str:
        """Add a constant under a free name derived from `name`; returns that name."""
        free = self.fresh(name)
        self.constants[free] = array
        return free

    def fresh(self, name: str, besides: Container[str] = ()) -> str:
        """`name`, or `name_1`, `name_2`, … if it is taken, here or among others."""
        free, i = name, 0
        while not free or free in self or free in besides:
            i += 1
            free = f"{name}_{i}"
        return free

    # -- looking ----------------------------------------------------------

    def _index(self) -> dict[str, Op]:
        index: dict[str, Op] | None = self.__dict__.get("_by_name")
        if index is None or len(index) != len(self.ops):
            index = {op.name: op for op in self.ops}
            self.__dict__["_by_name"] = index
        return index

    def __contains__(self, name: object) -> bool:
        return name in self._index() or name in self.constants

    def __iter__(self) -> Iterator[Op]:
        return iter(self.ops)

    def __getitem__(self, name: str) -> Op:
        """The op of that name (KeyError for constants and unknown names)."""
        return self._index()[name]

    def get(self, name: str) -> Op | None:
        return self._index().get(name)

    def type_of(self, name: str) -> TensorType:
        """Type of an op's result or of a constant."""
        op = self._index().get(name)
        if op is not None:
            return op.type
        if name in self.constants:
            array = self.constants[name]
            return TensorType(tuple(array.shape), DType.of(array))
        raise ModelError("a layer reads a tensor that nothing produces", where=name)

    @property
    def inputs(self) -> list[Input]:
        return [op for op in self.ops if isinstance(op, Input)]

    def users(self) -> dict[str, list[Op]]:
        """For every name, the ops that read it (an op that reads it twice appears twice)."""
        users: dict[str, list[Op]] = {op.name: [] for op in self.ops}
        for op in self.ops:
            for name in op.inputs:
                users.setdefault(name, []).append(op)
        return users

    def use_counts(self) -> Counter[str]:
        """How often each name is read, network outputs included."""
        counts = Counter(name for op in self.ops for name in op.inputs if name)
        counts.update(self.outputs)
        return counts

    # -- changing ---------------------------------------------------------

    def replace(self, **changes: Any) -> Graph:
        """A new graph with some fields changed (lists and dicts are copied)."""
        new = replace(self, **changes)
        new.ops, new.constants = list(new.ops), dict(new.constants)
        new.thresholds = dict(new.thresholds)
        return new

    def rebuilt(
        self,
        ops: Iterable[Op],
        *,
        outputs: tuple[str, ...] | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> Graph:
        """A new graph of these ops with every type inferred again and unused constants dropped."""
        new = self.replace(ops=[], outputs=outputs or self.outputs)
        new.constants = dict(constants or self.constants)
        for op in ops:
            new.add(op)
        used = {name for op in new.ops for name in op.inputs} | set(new.outputs)
        new.constants = {k: v for k, v in new.constants.items() if k in used}
        new.check()
        return new

    def check(self) -> None:
        """Raise ModelError unless every operand is defined before it is read."""
        seen = set(self.constants)
        for op in self.ops:
            for name in op.inputs:
                if name and name not in seen:
                    raise ModelError(f"operand {name!r} is not defined before", where=op.name)
            if op.name in seen:
                raise ModelError("two layers have the same name", where=op.name)
            seen.add(op.name)
        for name in self.outputs:
            if name not in seen:
                raise ModelError("a network output is produced by no layer", where=name)
