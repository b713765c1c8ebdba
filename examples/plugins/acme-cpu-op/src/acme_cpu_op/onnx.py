"""From an ONNX node of our domain to the op."""

from __future__ import annotations

from acme_cpu_op.unit_max import AcmeUnitMax
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.values import Value


def unit_max(node: Node) -> Value:
    """acme.UnitMax(x) with the attribute floor."""
    floor = node.attributes.number("floor", 1e-6)
    return node.emit(AcmeUnitMax(name=node.layer, floor=floor), node.operand(0))
