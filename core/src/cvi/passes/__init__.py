"""Passes: graph to simpler graph with the same network outputs. One pass per file.

`simplify` runs SIMPLIFY in order of priority: a pass runs when those before it have
nothing left to do. A fused op has the name and the source of the last op it absorbed,
so that a layer still equals a tensor of the source model and calibration tables fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cvi.errors import CviError, ModelError
from cvi.ir import Graph
from cvi.passes.arithmetic_to_scale import ArithmeticToScale
from cvi.passes.base import Pass, RewritePass
from cvi.passes.batchnorm_to_scale import BatchNormToScale
from cvi.passes.clip_to_relu import ClipToRelu
from cvi.passes.dead_code import RemoveDeadCode
from cvi.passes.edit import Alias, Constant, Edit, Replacement
from cvi.passes.expand_lrn import ExpandLrn
from cvi.passes.expand_normalize import ExpandNormalize
from cvi.passes.fold_bias import FoldBias
from cvi.passes.fold_constants import FoldConstants
from cvi.passes.fold_permutes import FoldPermutes
from cvi.passes.fold_scales import FoldScales
from cvi.passes.fuse_activations import FuseActivations
from cvi.passes.fuse_layer_norm import FuseLayerNorm
from cvi.passes.fuse_pads import FusePads
from cvi.passes.fuse_relu import FuseRelu
from cvi.passes.fuse_std import FuseStd
from cvi.passes.integer_indices import IntegerIndices
from cvi.passes.matmul_to_fc import MatMulToFullyConnected
from cvi.passes.merge_reshapes import MergeReshapes
from cvi.passes.merge_scales import MergeScales
from cvi.passes.merge_slices import MergeSlices
from cvi.passes.pixel_shuffle import FusePixelShuffle
from cvi.passes.reduce_to_pool import ReduceToPool
from cvi.passes.remove_identities import RemoveIdentities
from cvi.passes.resize_to_upsample import ResizeToUpsample
from cvi.passes.scale_to_conv import ScaleToConv
from cvi.passes.split_instance_norm import SplitInstanceNorm

__all__ = [
    "SIMPLIFY", "Alias", "Constant", "Edit", "Pass", "Replacement", "Report", "RewritePass",
    "run_passes", "simplify",
]  # fmt: skip

Report = Callable[[str, Graph], None]

SIMPLIFY: tuple[Pass, ...] = (
    RemoveDeadCode(),
    FoldConstants(),
    RemoveIdentities(),
    ExpandLrn(),
    ExpandNormalize(),
    SplitInstanceNorm(),
    BatchNormToScale(),
    FuseActivations(),
    FuseLayerNorm(),
    FuseStd(),
    MatMulToFullyConnected(),
    FoldBias(),
    ArithmeticToScale(),
    MergeScales(),
    FoldScales(),
    FusePixelShuffle(),
    MergeReshapes(),
    FoldPermutes(),
    MergeSlices(),
    ResizeToUpsample(),
    ReduceToPool(),
    ClipToRelu(),
    FuseRelu(),
    FusePads(),
    ScaleToConv(),
    IntegerIndices(),
)


def simplify(graph: Graph, report: Report | None = None) -> Graph:
    """The graph after SIMPLIFY, at a fix point: every pass would leave it as it is.

    report: called with a pass's name and the graph after every pass that changed it.
    """
    return run_passes(graph, SIMPLIFY, report)


def run_passes(graph: Graph, passes: Sequence[Pass], report: Report | None = None) -> Graph:
    """Run passes in order of priority until none changes the graph."""
    done: list[str] = []
    position = 0
    while position < len(passes):
        current = passes[position]
        changed = _apply(current, graph, done)
        position += 1
        if changed is not graph:
            graph, position = changed, 0
            done.append(current.name)
            if report is not None:
                report(current.name, graph)
    return graph


def _apply(current: Pass, graph: Graph, done: Sequence[str]) -> Graph:
    """Apply one pass; its errors say which passes the graph has been through."""
    history = f"in pass {current.name}, after {', '.join(done) or 'no other pass'}"
    try:
        return current.apply(graph)
    except CviError as error:
        raise ModelError(f"{error.why} ({history})", where=error.where, fix=error.fix) from error
    except Exception as error:
        raise RuntimeError(f"{history}: {error}") from error
