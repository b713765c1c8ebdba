"""One-node ONNX models run by onnxruntime: the outside truth for float ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from cvi.ir import Array, Graph, Input, Op, TensorType
from cvi.ir.types import DType

OPSET = 20
_ELEMENT = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
}


def run_node(
    kind: str, inputs: Sequence[Array | None], *, result: int | None = None, **attributes: Any
) -> Array:
    """The result of one ONNX node; None stands for an absent optional input.

    result: its element type, that of the first input when None.
    """
    names = [f"i{k}" if x is not None else "" for k, x in enumerate(inputs)]
    values = [
        helper.make_tensor_value_info(name, _ELEMENT[x.dtype.name], x.shape)
        for name, x in zip(names, inputs, strict=True)
        if x is not None
    ]
    element = values[0].type.tensor_type.elem_type if result is None else result
    output = helper.make_tensor_value_info("y", element, None)
    node = helper.make_node(kind, names, ["y"], **attributes)
    graph = helper.make_graph([node], "one", values, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    feed = {n: np.asarray(x) for n, x in zip(names, inputs, strict=True) if x is not None}
    (y,) = session.run(None, feed)
    return np.asarray(y)


def typed(op: Op, inputs: Sequence[Array | None]) -> Op:
    """The op with the type it has in a graph of these operands."""
    graph = Graph("one")
    for name, x in zip(op.inputs, inputs, strict=True):
        if x is not None:
            graph.add(Input(name=name, type=TensorType(x.shape, DType.of(x))))
    return graph.add(op)


def evaluate(op: Op, *inputs: Array | None) -> Array:
    """Evaluate one op on arrays; checks that the result has the inferred shape and type."""
    names = tuple(f"i{k}" if x is not None else "" for k, x in enumerate(inputs))
    known = typed(op.with_(inputs=names), inputs)
    before = [None if x is None else x.copy() for x in inputs]
    y = known.evaluate(*inputs)
    assert y.shape == known.type.shape
    assert y.dtype == known.type.dtype.numpy
    for x, kept in zip(inputs, before, strict=True):
        assert x is None or np.array_equal(x, kept, equal_nan=x.dtype.kind == "f")
    return y


def assert_same(ours: Array, theirs: Array, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
