"""The intermediate representation: `Graph`, `Op`, `TensorType`."""

from cvi.ir.graph import Graph, Input
from cvi.ir.op import Op, op_class
from cvi.ir.types import Array, DType, Shape, TensorType

__all__ = ["Array", "DType", "Graph", "Input", "Op", "Shape", "TensorType", "op_class"]
