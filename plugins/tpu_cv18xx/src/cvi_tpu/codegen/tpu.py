"""What a plugin's `cvi_register_kernels` gives for an op that can be fused on the TPU."""

from __future__ import annotations

from dataclasses import dataclass

from cvi_tpu.codegen.context import Lowering
from cvi_tpu.codegen.planner import Tiling


@dataclass(frozen=True)
class OnTpu:
    """A kernel of the TPU.

    lower: emits the instructions of an op that is computed alone. tiling: the op as a
    `TiledOp`, so that it can be computed together with its neighbours in local memory, or
    None when this one cannot. A bare `lower` may be registered instead of an `OnTpu` for
    ops that are never fused.
    """

    lower: Lowering
    tiling: Tiling
