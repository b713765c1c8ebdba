"""The op as instructions of the TPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from acme_op.int8 import STEPS
from cvi_tpu.codegen.kernels.eltwise import TiledEltwise
from cvi_tpu.codegen.planner import tile_bytes
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Tiu
from cvi_tpu.isa.operands import Local


class TiledBlend(TiledEltwise):
    """127 * b + m * a - m * b in a 16-bit accumulator, whose sums never overflow: two byte
    planes, the low one of which becomes the result. A third plane holds m, then -m."""

    def planes(self, cut_k: bool) -> int:
        del cut_k
        return 3

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        a, b, mask = operands
        plane, layer = tile_bytes(result), self.layer
        total = replace(result, plane=plane)
        m = replace(result, address=result.address + 2 * plane)
        return [
            Arith(op=ArithOp.MAX, result=m, left=mask, right=Const(0), layer=layer),
            Arith(op=ArithOp.MUL, result=total, left=b, right=Const(STEPS), layer=layer),
            Arith(op=ArithOp.MAC, result=total, left=a, right=m, layer=layer),
            Arith(op=ArithOp.MUL, result=m, left=m, right=Const(-1), layer=layer),
            Arith(op=ArithOp.MAC, result=total, left=b, right=m, layer=layer, narrow=True, shift=7),
        ]
