"""A reduction is a pool or a convolution of single pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cvi.ir import Op, Shape, TensorType
from cvi.ops import (
    AvgPool2d,
    Conv2d,
    MaxPool2d,
    Mul,
    Neg,
    Permute,
    Reduce,
    Reshape,
    SquarePower,
)
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ReduceToPool(RewritePass):
    """Reduce becomes ops that have kernels:

    1. mean and max over some axes: a global AvgPool2d or MaxPool2d of an image
       [n, c, h, w] whose rows and columns they are, after a Permute that puts them last;
    2. mean and sum over axis 1: a Conv2d of single pixels with equal weights, which
       needs no Permute;
    3. sum over other axes: the mean times the number of elements;
    4. min: the negative of the max of the negative;
    5. l2: a SquarePower of a tensor [n, c, ...] whose channels are the reduced axes.

    Reshapes around them where the shapes differ.
    """

    name = "reduce-to-pool"
    requires = ("remove-identities",)

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Reduce) or not op.axes:
            return None
        chain = _Chain(op, edit)
        if op.axes == (1,) and op.method in ("mean", "sum"):
            _over_channels(chain, op)
        elif op.method == "l2":
            _norm(chain, op)
        elif op.method == "min":
            chain.then("negative", Neg)
            _pool(chain, op, MaxPool2d)
            chain.then("min", Neg)
        else:
            count = _pool(chain, op, MaxPool2d if op.method == "max" else AvgPool2d)
            if op.method == "sum":
                chain.then("sum", Mul, constant=np.full(1, count))
        chain.reshape("shape", op.type.shape)
        return chain.closed()


def _over_channels(chain: _Chain, op: Reduce) -> None:
    n, c, *rest = chain.shape
    if len(rest) != 2:
        chain.reshape("image", (n, c, math.prod(rest[:-1]), math.prod(rest[-1:])))
    value = 1.0 if op.method == "sum" else 1 / c
    chain.then("conv", Conv2d, constant=np.full((1, c, 1, 1), value))


def _norm(chain: _Chain, op: Reduce) -> None:
    """Append the root of the sum of squares over the reduced axes."""
    batch = (0,) if 0 not in op.axes else ()
    kept = tuple(i for i in range(len(chain.shape)) if i not in (*batch, *op.axes))
    shape, order = chain.shape, (*batch, *op.axes, *kept)
    if order != tuple(range(len(order))):
        chain.then("channels", Permute, order=order)
    count = math.prod(shape[i] for i in op.axes)
    images = math.prod(shape[i] for i in batch)
    chain.reshape("image", (images, count, *(shape[i] for i in kept)))
    chain.then("norm", SquarePower, exponent=0.5)


def _pool(chain: _Chain, op: Reduce, kind: type[AvgPool2d] | type[MaxPool2d]) -> int:
    """Append the global pool of the reduced axes; how many elements each window has."""
    kept = tuple(i for i in range(len(chain.shape)) if i not in op.axes)
    if kept + op.axes != tuple(range(len(chain.shape))):
        chain.then("last", Permute, order=kept + op.axes)
    sizes, reduced = chain.shape[: len(kept)], chain.shape[len(kept) :]
    window = (math.prod(reduced[:-1]), reduced[-1])
    chain.reshape("image", (*(sizes[:1] or (1,)), math.prod(sizes[1:]), *window))
    chain.then("pool", kind, kernel=window)
    return math.prod(window)


class _Chain:
    """Ops one behind the other that stand for a layer."""

    def __init__(self, layer: Op, edit: Edit) -> None:
        self.layer, self.edit = layer, edit
        self.shape: Shape = edit.type_of(layer.inputs[0]).shape
        self._ops: list[Op] = []

    def then(self, suffix: str, kind: type[Op], constant: Any = None, **attributes: Any) -> None:
        """Append an op that reads the last result, and a constant."""
        last = self._ops[-1].name if self._ops else self.layer.inputs[0]
        types, inputs = [TensorType(self.shape)], [last]
        if constant is not None:
            inputs.append(self.edit.add_constant(f"{self.layer.name}_{suffix}_weight", constant))
            types.append(self.edit.type_of(inputs[1]))
        if kind is Conv2d:
            inputs.append("")
        name = self.edit.fresh(f"{self.layer.name}_{suffix}")
        op = kind(name=name, inputs=tuple(inputs), **attributes)
        self.shape = op.infer([*types, None][: len(inputs)]).shape
        self._ops.append(op)

    def reshape(self, suffix: str, shape: Shape) -> None:
        """Append a Reshape unless the shape is right already."""
        if self.shape != shape:
            self.then(suffix, Reshape, shape=shape)

    def closed(self) -> list[Op]:
        """The ops; the last one bears the layer's name."""
        *ops, last = self._ops
        return [*ops, last.with_(name=self.layer.name, source=self.layer.source)]
