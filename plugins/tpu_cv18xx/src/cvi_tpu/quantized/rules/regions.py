"""The layers of Faster R-CNN, in float, by functions of the runtime (FACTS_CVIMODEL 6).

What `detection` says of functions that are used and of those that are refused holds here.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from cvi.ir import Array, DType, Graph, Op
from cvi.ops import Concat, FrcnDetection, Pad, Proposal, Reshape, RoiPooling, Softmax
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Rewriter
from cvi_tpu.quantized.rules.cpu_calls import define, shaped
from cvi_tpu.quantized.rules.signs import never_negative

NO_SCORE = -1e30
"""Less than any threshold."""


@quantizes(Proposal, precision=DType.FP32)
def proposal(op: Proposal, to: Rewriter) -> None:
    """proposal, with a row of cells added to the maps.

    The runtime crashes when no score reaches the threshold. The last anchor of the last
    added cell does, and its box lies in the first pixel with no size: being the last box,
    it gives a row of zeros, which unused rows are too.
    """
    scores, deltas = op.inputs
    _, channels, _, width = to.source.type_of(scores).shape
    sure = np.full((1, channels, 1, width), NO_SCORE, np.float32)
    sure[0, -1, 0, -1] = max(1.0, op.obj_threshold)
    away = np.zeros((1, 2 * channels, 1, width), np.float32)
    away[0, -4:-2, 0, -1] = -1e6
    define(
        op,
        to,
        "proposal",
        (_with_row(op, to, scores, sure, "scores"), _with_row(op, to, deltas, away, "deltas")),
        {
            "feat_stride": op.feat_stride,
            "anchor_base_size": op.anchor_base_size,
            "net_input_h": op.net_size[0],
            "net_input_w": op.net_size[1],
            "rpn_obj_threshold": float(op.obj_threshold),
            "rpn_nms_threshold": float(op.nms_threshold),
            "rpn_nms_post_top_n": op.post_nms_top_n,
        },
    )


def _with_row(op: Op, to: Rewriter, name: str, row: Array, what: str) -> str:
    inputs = (to.fp32(name), to.store(f"{op.name}_{what}", "row", row))
    joined = Concat(name=to.fresh(op.name, what), inputs=inputs, axis=2)
    return to.graph.add(joined).name


@requires(Proposal, precision=DType.FP32)
def proposals_of_one_image(op: Proposal, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime crashes when an image of several has no region above the threshold

    use --batch-size 1
    """
    return op.type.shape[0] == 1


@quantizes(FrcnDetection, precision=DType.FP32)
def frcn_detection(op: FrcnDetection, to: Rewriter) -> None:
    """frcn_detection, with operands in shapes by which it tells them apart.

    It has memory for one box per region: where a region may have more above the threshold,
    regions without any are added.
    """
    deltas, scores, regions = op.inputs
    count = to.source.type_of(regions).elements // 5
    more = count * (_boxes_per_region(op, to.source) - 1)
    shapes = ((count, op.class_num * 4), (count, op.class_num), (1, 1, count, 5))
    operands: list[str] = []
    for name, shape, axis in zip((deltas, scores, regions), shapes, (0, 0, 2), strict=True):
        source = shaped(to, name, shape, f"{op.name}_{len(operands)}")
        operands.append(_padded(op, to, source, axis, more) if more else source)
    define(
        op,
        to,
        "frcn_detection",
        tuple(operands),
        {
            "nms_threshold": float(op.nms_threshold),
            "obj_threshold": float(op.obj_threshold),
            "keep_topk": op.keep_top_k,
            "class_num": op.class_num,
        },
    )


def _boxes_per_region(op: FrcnDetection, graph: Graph) -> int:
    """How many classes of one region can have a score above the threshold."""
    most = op.class_num - 1
    source = graph.get(op.inputs[1])
    while isinstance(source, Reshape):
        source = graph.get(source.inputs[0])
    if not isinstance(source, Softmax) or source.log or op.obj_threshold <= 0:
        return most
    if source.type.shape[source.axis] != op.class_num:
        return most
    return max(1, min(most, ceil(1 / op.obj_threshold) - 1))


def _padded(op: Op, to: Rewriter, name: str, axis: int, more: int) -> str:
    rank = len(to.graph.type_of(name).shape)
    after = tuple(more if i == axis else 0 for i in range(rank))
    pad = Pad(name=to.fresh(op.name, "padded"), inputs=(name,), before=(0,) * rank, after=after)
    return to.graph.add(pad).name


@requires(FrcnDetection, precision=DType.FP32)
def positive_threshold(op: FrcnDetection, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime has memory for one box per region, and obj_threshold lets all classes pass

    give the layer an obj_threshold that is not negative
    """
    return op.obj_threshold >= 0


@quantizes(RoiPooling, precision=DType.FP32)
def roi_pooling(op: RoiPooling, to: Rewriter) -> None:
    """roi_pooling, with the operands in the order in which it does not exchange them: the
    regions first when there are several images."""
    features, regions = op.inputs
    images = to.source.type_of(features).shape[0]
    shape = (images, 1, op.type.shape[0] // images, 5)
    table = shaped(to, regions, shape, f"{op.name}_regions")
    operands = (to.fp32(features), table)
    define(
        op,
        to,
        "roi_pooling",
        operands if images == 1 else operands[::-1],
        {
            "pooled_h": op.pooled[0],
            "pooled_w": op.pooled[1],
            "spatial_scale": float(op.spatial_scale),
        },
    )


@requires(RoiPooling, precision=DType.FP32)
def pools_no_negatives(op: RoiPooling, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's maximum starts at 0, so negative features never win

    pool the result of a ReLU or of another layer that is never negative
    """
    return never_negative(graph, op.inputs[0])


@requires(RoiPooling, precision=DType.FP32)
def equal_regions(op: RoiPooling, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's roi_pooling needs as many regions of every image, and mistakes features of
    one channel for regions when several images have as many rows as there are regions

    use --batch-size 1
    """
    images, channels, height, _ = graph.type_of(op.inputs[0]).shape
    count = op.type.shape[0]
    return images == 1 or (count % images == 0 and (channels > 1 or height != count))
