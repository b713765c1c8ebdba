"""The readable text form of a graph: one op per line, constants summarised.

    graph lenet
      @conv_w : fp32[8x1x3x3] = -0.33 .. 0.32 #5d41402a
      %data : fp32[1x1x28x28] = Input()
      %conv : fp32[1x8x28x28] = Conv2d(%data, @conv_w, none) {pads=(1, 1, 1, 1), relu=True}
      return %conv

Attributes that have their default value are left out. The form is stable: the same
graph gives the same text in every run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from cvi.ir.graph import Graph
from cvi.ir.op import Op
from cvi.ir.types import Array, DType, TensorType

_PLAIN_NAME = re.compile(r'[^\s"(){},%@=]+\Z')
_LISTED = 4


def to_text(graph: Graph) -> str:
    """The whole graph, one line per constant and per op."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield f"graph {quoted(graph.name)}"
    for name, array in graph.constants.items():
        yield f"  @{quoted(name)} : {constant_text(array)}"
    for op in graph.ops:
        yield f"  {op_text(op, graph)}"
    yield "  return " + ", ".join(operand_text(name, graph) for name in graph.outputs)


def op_text(op: Op, graph: Graph) -> str:
    """One op, e.g. `%y : fp32[1x8] = FullyConnected(%x, @w, none) {relu=True}`."""
    operands = ", ".join(operand_text(name, graph) for name in op.inputs)
    attributes = ", ".join(f"{name}={value!r}" for name, value in changed_attributes(op))
    tail = f" {{{attributes}}}" if attributes else ""
    return f"%{quoted(op.name)} : {op.type} = {op.kind}({operands}){tail}"


def changed_attributes(op: Op) -> Iterator[tuple[str, Any]]:
    """The attributes that differ from their defaults, in order of declaration."""
    defaults = {f.name: f.default for f in fields(op)}
    for name, value in op.attributes().items():
        if defaults[name] is MISSING or value != defaults[name]:
            yield name, value


def operand_text(name: str, graph: Graph) -> str:
    """%op, @constant or none."""
    if not name:
        return "none"
    return f"{'@' if name in graph.constants else '%'}{quoted(name)}"


def quoted(name: str) -> str:
    """A name as it is, or in quotes when it could be misread."""
    if _PLAIN_NAME.match(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def constant_text(array: Array) -> str:
    """Type and values of a constant: all of a few, or range and digest of many."""
    kind = TensorType(tuple(array.shape), DType.of(array))
    if array.size <= _LISTED:
        return f"{kind} = {', '.join(_number(v) for v in array.ravel())}"
    digest = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=4).hexdigest()
    return f"{kind} = {_number(array.min())} .. {_number(array.max())} #{digest}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, np.floating) else str(value)
