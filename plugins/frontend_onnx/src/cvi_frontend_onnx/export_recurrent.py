"""How recurrent layers are written in ONNX."""

from __future__ import annotations

from cvi import ops
from cvi_frontend_onnx.exporter import Writer, exports


@exports(ops.Lstm)
def lstm(writer: Writer, op: ops.Lstm) -> None:
    _recurrent(writer, op, "LSTM")


@exports(ops.Gru)
def gru(writer: Writer, op: ops.Gru) -> None:
    _recurrent(writer, op, "GRU", linear_before_reset=int(op.linear_before_reset))


def _recurrent(writer: Writer, op: ops.Recurrent, kind: str, **attributes: int) -> None:
    """The asked output stands at its place; operand 4, the lengths of the sequences, is absent."""
    x, w, r, b, *states = (*op.inputs, "", "", "")[: 4 + len(op.states)]
    position = ("sequence", *op.states).index(op.result)
    writer.node_of_many(
        kind,
        _trimmed([x, w, r, b, "", *states]),
        [*("",) * position, op.name],
        op.name,
        direction=op.direction,
        hidden_size=writer.graph.type_of(r).shape[2],
        **attributes,
    )


def _trimmed(operands: list[str]) -> list[str]:
    while not operands[-1]:
        operands.pop()
    return operands
