"""Shapes of nodes that we do not convert, from onnx's own shape inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cvi.importing.constants import MAX_ELEMENTS
from cvi.ir import Shape
from cvi_frontend_onnx.values import Value

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, TypeProto

Known = tuple[Shape, "np.dtype[Any]"]
_SMALL = 1024


def output_types(
    node: NodeProto, inputs: Sequence[Value | None], opsets: Mapping[str, int]
) -> dict[str, Known]:
    """Shape and element type of a node's outputs, as far as onnx can tell.

    The node may be broken, for which onnx has exceptions of many kinds. Knowing nothing
    only means that the nodes behind this one are not checked.
    """
    from onnx import defs, shape_inference

    try:
        schema = defs.get_schema(node.op_type, opsets.get(node.domain, 1), node.domain)
        types, data = _operands(node, inputs)
        inferred = shape_inference.infer_node_outputs(schema, node, types, data)
    except Exception:
        return {}
    known = {name: _fixed(inferred[name]) for name in node.output if name and name in inferred}
    return {name: type for name, type in known.items() if type is not None}


def _operands(
    node: NodeProto, inputs: Sequence[Value | None]
) -> tuple[dict[str, TypeProto], dict[str, TensorProto]]:
    from onnx import helper, numpy_helper

    types, data = {}, {}
    for name, value in zip(node.input, inputs, strict=True):
        if value is not None:
            code = helper.np_dtype_to_tensor_dtype(value.dtype)
            types[name] = helper.make_tensor_type_proto(code, value.shape)
            if value.array is not None and value.elements <= _SMALL:
                data[name] = numpy_helper.from_array(np.ascontiguousarray(value.array), name)
    return types, data


def _fixed(type: TypeProto) -> Known | None:
    from onnx import helper

    tensor = type.tensor_type
    if not tensor.HasField("shape") or not tensor.elem_type:
        return None
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
    elements = int(np.prod([float(d) for d in dims]))
    if min(dims, default=1) < 1 or elements > MAX_ELEMENTS:
        return None
    return tuple(dims), helper.tensor_dtype_to_np_dtype(tensor.elem_type)
