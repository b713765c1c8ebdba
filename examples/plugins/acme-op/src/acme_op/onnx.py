"""From an ONNX node of our domain to the float op."""

from __future__ import annotations

from acme_op.blend import AcmeBlend
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.values import Value


def blend(node: Node) -> Value:
    """acme.Blend(a, b, mask), which has no attributes."""
    a, b, mask = (node.operand(index) for index in range(3))
    return node.emit(AcmeBlend(name=node.layer), a, b, mask)
