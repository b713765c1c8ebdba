"""Networks that take images as NHWC and transpose them first, as tf2onnx writes them.

They become networks of NCHW inputs: the transpose goes away, and what stands before it
(arithmetic with constants, casts) works on NCHW. `Input.file_layout` remembers it; the
framework's own inference is still fed with NHWC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvi.ir import Array, Graph, Input, Op
from cvi.ops import Add, Div, Mul, Permute, Sub
from cvi_frontend_onnx.order import reads
from cvi_frontend_onnx.shapes import declared_shape

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)

_KEEPS_LAYOUT = ("Cast", "Identity", "Sub", "Add", "Mul", "Div")


# -- in the file ------------------------------------------------------------------


def nhwc_inputs(graph: GraphProto) -> set[str]:
    """The inputs of four dimensions whose only use is a transpose from NHWC to NCHW, perhaps
    behind arithmetic with constants."""
    constants = {t.name for t in graph.initializer}
    constants |= {n for node in graph.node if node.op_type == "Constant" for n in node.output}
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in set(reads(node)):
            users.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}
    images = [i.name for i in graph.input if len(i.type.tensor_type.shape.dim) == len(TO_NCHW)]
    return {
        name for name in images
        if name not in constants and _is_transposed(name, users, constants, outputs)
    }  # fmt: skip


def _is_transposed(
    name: str, users: Mapping[str, Sequence[NodeProto]], constants: set[str], outputs: set[str]
) -> bool:
    seen: set[str] = set()
    while name not in outputs | seen and len(users.get(name, ())) == 1:
        seen.add(name)
        node = users[name][0]
        others = [n for n in node.input if n != name]
        if node.op_type == "Transpose":
            orders = [tuple(a.ints) for a in node.attribute if a.name == "perm"]
            return orders == [TO_NCHW]
        plain = node.op_type in _KEEPS_LAYOUT and constants.issuperset(others)
        if not plain or len(others) != len(node.input) - 1:
            return False
        name = node.output[0]
    return False


def as_declared(graph: GraphProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs of the imported graph as the file wants them: those that are NCHW only for
    us turned back to NHWC."""
    turned = nhwc_inputs(graph)
    declared = {i.name: declared_shape(i) for i in graph.input if i.name in turned}
    return {
        name: np.ascontiguousarray(array.transpose(TO_NHWC))
        if name in turned and _was_turned(declared[name], array)
        else array
        for name, array in inputs.items()
    }


def _was_turned(declared: Sequence[int | str], array: Array) -> bool:
    """Whether an array is NCHW: it is NHWC only where nothing else fits (the network was cut
    before its transpose)."""
    if array.ndim != len(TO_NHWC):
        return False

    def fits(shape: Sequence[int]) -> bool:
        pairs = list(zip(declared, shape, strict=True))[1:]
        return all(isinstance(d, str) or d == size for d, size in pairs)

    return fits([array.shape[i] for i in TO_NHWC]) or not fits(array.shape)


# -- in the graph -----------------------------------------------------------------


def absorb_transposes(graph: Graph, names: set[str]) -> Graph:
    """The graph with these NHWC inputs as NCHW. One that is used otherwise, because the
    network was cut, stays as it is."""
    for name in names:
        chain = _chain(graph, name)
        if chain:
            graph = _absorbed(graph, name, chain)
    return graph


def _chain(graph: Graph, name: str) -> list[Op]:
    """The ops from an input to its transpose, which comes last; empty when there is none."""
    users, chain = graph.users(), list[Op]()
    while len(users.get(name, ())) == 1:
        op = users[name][0]
        if op.name in graph.outputs:
            return []
        chain.append(op)
        if isinstance(op, Permute):
            return chain if op.order == TO_NCHW else []
        others = [n for n in op.inputs if n != name]
        if not isinstance(op, (Add, Sub, Mul, Div)) or any(
            n not in graph.constants for n in others
        ):
            return []
        name = op.name
    return []


def _absorbed(graph: Graph, name: str, chain: Sequence[Op]) -> Graph:
    """The last arithmetic op takes the place of the transpose, or the input itself does."""
    *arithmetic, permute = chain
    constants = dict(graph.constants)
    new: dict[str, Op] = {}
    for op in arithmetic:
        inputs = tuple(_turned_constant(graph, constants, n) for n in op.inputs)
        new[op.name] = op.with_(inputs=inputs, source="")
    last, alias = arithmetic[-1].name if arithmetic else name, {permute.name: name}
    if arithmetic:
        new[last] = new[last].with_(name=permute.name, source=permute.source)
        alias = {}
    ops: list[Op] = []
    for op in graph.ops:
        if op is permute:
            continue
        op = new.get(op.name, op)
        if op.name == name:
            shape = tuple(op.type.shape[i] for i in TO_NCHW)
            op = graph[name].with_(type=op.type.with_shape(shape))
            assert isinstance(op, Input)
            op = op.with_(file_layout="NHWC")
        ops.append(op.with_(inputs=tuple(alias.get(n, n) for n in op.inputs)))
    return graph.rebuilt(ops, constants=constants)


def _turned_constant(graph: Graph, constants: dict[str, Array], name: str) -> str:
    """The name of a constant operand in NCHW; other names as they are."""
    array = graph.constants.get(name)
    if array is None or array.size == 1:
        return name
    whole = array.reshape((1,) * (len(TO_NCHW) - array.ndim) + array.shape)
    free, i = f"{name}_nchw", 0
    while free in graph or free in constants:
        i += 1
        free = f"{name}_nchw{i}"
    constants[free] = np.ascontiguousarray(whole.transpose(TO_NCHW))
    return free
