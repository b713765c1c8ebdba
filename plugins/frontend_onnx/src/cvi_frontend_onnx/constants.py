"""Evaluation of single nodes of constants by onnx's reference implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvi.ir import Array

if TYPE_CHECKING:
    from cvi_frontend_onnx.node import Node


def evaluate_node(node: Node, arrays: Sequence[Array]) -> list[Array]:
    """The outputs of a node whose operands are all known; refuses what onnx cannot compute."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = [f"operand{i}" for i in range(len(arrays))]
    proto = helper.make_node(node.op_type, names, list(node.outputs))
    proto.attribute.extend(node.attributes.all())
    infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in zip(names, arrays, strict=True)
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs]
    graph = helper.make_graph([proto], node.op_type, infos, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    try:
        results = ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))
    except RuntimeError as error:
        node.refuse(f"onnx cannot compute it from constants ({str(error).partition(chr(10))[0]})")
    return [np.asarray(result) for result in results]
