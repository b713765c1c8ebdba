"""Pixel shuffles that frameworks write as Reshape, Permute, Reshape."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Permute, PixelShuffle, Reshape
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement

_CRD = (0, 1, 4, 2, 5, 3)
_DCR = (0, 3, 4, 1, 5, 2)


class FusePixelShuffle(RewritePass):
    """Reshape [n,C,f,f,h,w], Permute (0,1,4,2,5,3), Reshape [n,C,h*f,w*f] becomes
    PixelShuffle CRD; with [n,f,f,C,h,w] and (0,3,4,1,5,2) PixelShuffle DCR."""

    name = "pixel-shuffle"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Reshape):
            return None
        permute = edit.single(op.inputs[0])
        if not isinstance(permute, Permute) or permute.order not in (_CRD, _DCR):
            return None
        split = edit.single(permute.inputs[0])
        if not isinstance(split, Reshape):
            return None
        x = edit.type_of(split.inputs[0]).shape
        mode = "CRD" if permute.order == _CRD else "DCR"
        n, a, b, c, h, w = split.shape
        outputs, f = (a, b) if mode == "CRD" else (c, a)
        square = (b, c) if mode == "CRD" else (a, b)
        fits = x == (n, outputs * f * f, h, w) and op.shape == (n, outputs, h * f, w * f)
        if not fits or square != (f, f):
            return None
        return PixelShuffle(
            name=op.name, inputs=split.inputs, source=op.source, factor=f, mode=mode
        )
