"""Detection layers are computed in float by functions of the runtime (FACTS_CVIMODEL 6).

A function is used where it gives what the layer means. Three liberties are taken: boxes
that overlap are compared in the order in which they are found, not from the highest score
down, and by slightly smaller overlaps where the last pixel counts, so that of a chain of them
others may survive; when more survive than there are rows, the first ones are taken; and
proposals lie half a pixel nearer to the first one. Faults beyond that are worked around, or
refused below.
"""

from __future__ import annotations

from math import floor

from cvi.ir import DType, Graph, Op
from cvi.ops import (
    Detection,
    DetectionOutput,
    Reshape,
    RetinaFaceDetection,
    RoiPooling,
    YoloDetection,
)
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Bf16MaxConstant, Dequantize, Fp32FromBf16, Int8Clip
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Rewriter
from cvi_tpu.quantized.rules.cpu_calls import NEVER, define, shaped

SSD_MARKS = ("mbox_loc", "mbox_conf", "mbox_priorbox")
"""Parts of names by which the runtime knows the operands of detectionoutput."""

LEAST_LOGIT = -99.9
"""Below -100 the runtime's softmax of yolo_detection changes the scale of all logits."""

LEAST_LOGIT_BF16 = -99.5
"""The BF16 number above."""


@requires(Detection, RoiPooling, precision=DType.FP32)
def has_cpu_functions(op: Op, graph: Graph, spec: ChipSpec) -> bool:
    """the chip's runtime has no CPU functions, and the TPU cannot do this

    end the network before it with --outputs, and compute it on the host
    """
    return spec.has_cpu_functions


# -- SSD ----------------------------------------------------------------------------------


@quantizes(DetectionOutput, precision=DType.FP32)
def detection_output(op: DetectionOutput, to: Rewriter) -> None:
    """detectionoutput, whose operands get names that it does not mistake.

    Two values mean something else there: top_k -1, and no background at all.
    """
    loc, conf, priors = op.inputs
    count = to.source.type_of(priors).shape[2] // 4
    images = op.type.shape[0]
    sources = [
        shaped(to, loc, (images, to.source.type_of(loc).elements // images), f"{op.name}_loc"),
        shaped(to, conf, (images, count * op.num_classes), f"{op.name}_conf"),
        shaped(to, priors, (1, 2, count * 4), f"{op.name}_priors"),
    ]
    background = op.background_label
    define(
        op,
        to,
        "detectionoutput",
        _named(to, sources),
        {
            "num_classes": op.num_classes,
            "share_location": op.share_location,
            "background_label_id": background if background >= 0 else op.num_classes,
            "code_type": "CENTER_SIZE",
            "top_k": op.top_k if op.top_k >= 0 else count,
            "nms_threshold": float(op.nms_threshold),
            "confidence_threshold": float(op.confidence_threshold),
            "keep_top_k": op.keep_top_k,
        },
    )


def _named(to: Rewriter, sources: list[str]) -> tuple[str, ...]:
    """The operands, under other names if their own ones would exchange them."""
    found = [next((s for s in sources if mark in s), None) for mark in SSD_MARKS]
    if None in found or found == sources:
        return tuple(sources)
    named = []
    for source, mark in zip(sources, SSD_MARKS, strict=True):
        name = to.fresh(*mark.split("_"))
        if source in to.graph.constants:
            to.graph.constants[name] = to.graph.constants[source]
        else:
            shape = to.graph.type_of(source).shape
            to.graph.add(Reshape(name=name, inputs=(source,), shape=shape))
        named.append(name)
    return tuple(named)


@requires(DetectionOutput, precision=DType.FP32)
def centre_and_size(op: DetectionOutput, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's detectionoutput knows no code type but center_size

    end the network before it with --outputs, and decode the boxes on the host
    """
    return op.code_type == "center_size"


@requires(DetectionOutput, precision=DType.FP32)
def constant_priors(op: DetectionOutput, graph: Graph, spec: ChipSpec) -> bool:
    """the prior boxes are computed by the network, or have no width or height, at which the
    runtime aborts

    give prior boxes that are constants, with positive sizes
    """
    priors = graph.constants.get(op.inputs[2])
    if priors is None:
        return False
    boxes = priors.reshape(2, -1, 4)[0]
    return bool((boxes[:, 2:] > boxes[:, :2]).all())


# -- YOLO ---------------------------------------------------------------------------------


@quantizes(YoloDetection, precision=DType.FP32)
def yolo_detection(op: YoloDetection, to: Rewriter) -> None:
    """yolo_detection, with the anchors in the order of the maps' widths.

    More than 200 boxes above obj_threshold in an image abort the runtime.
    """
    widths = [to.source.type_of(name).shape[3] for name in op.inputs]
    order = sorted(range(len(widths)), key=lambda i: -widths[i])
    anchors = op.anchors_of(widths)[order]
    define(
        op,
        to,
        "yolo_detection",
        tuple(_logits(op, to, op.inputs[i], i) for i in order),
        {
            "net_input_h": op.net_size[0],
            "net_input_w": op.net_size[1],
            "nms_threshold": float(op.nms_threshold),
            "obj_threshold": float(op.obj_threshold),
            "keep_topk": op.keep_top_k,
            "tiny": op.tiny,
            "class_num": op.classes,
            "anchors": ",".join(f"{value:.9g}" for value in anchors.ravel().tolist()),
        },
    )


def _logits(op: Op, to: Rewriter, name: str, index: int) -> str:
    """The fp32 form of a map; values near -100 and below are raised, which no sigmoid,
    exponential or softmax of them tells from less."""
    computed_in = to.computed_in(name)
    if computed_in is DType.BF16:
        return _wide_logits(op, to, name, index)
    if computed_in is not DType.INT8:
        return to.fp32(name)
    x = to.int8(name)
    least = floor(-LEAST_LOGIT / x.scale)
    if least >= 128:
        return to.fp32(name)
    raised = to.add(
        Int8Clip(
            name=to.fresh(op.name, f"raised_{index}"),
            inputs=(x.name,),
            out_scale=x.scale,
            minimum=-least,
            maximum=127,
        )
    )
    cast = Dequantize(name=to.fresh(op.name, f"map_{index}"), inputs=(raised.name,), scale=x.scale)
    return to.graph.add(cast).name


def _wide_logits(op: Op, to: Rewriter, name: str, index: int) -> str:
    """As `_logits` for a map in BF16."""
    raised = Bf16MaxConstant(
        name=to.fresh(op.name, f"raised_{index}"),
        inputs=(to.bf16(name).name,),
        value=LEAST_LOGIT_BF16,
    )
    cast = Fp32FromBf16(name=to.fresh(op.name, f"map_{index}"), inputs=(to.add(raised).name,))
    return to.graph.add(cast).name


@requires(YoloDetection, precision=DType.FP32)
def distinct_widths(op: YoloDetection, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime tells the maps of yolo_detection apart by their widths, and two are equal

    end the network before it with --outputs, and decode the boxes on the host
    """
    return len({graph.type_of(name).shape[3] for name in op.inputs}) == len(op.inputs)


# -- RetinaFace ---------------------------------------------------------------------------


@quantizes(RetinaFaceDetection, precision=DType.FP32)
def retinaface_detection(op: RetinaFaceDetection, to: Rewriter) -> None:
    """retinaface_detection without suppression; it finds its operands by their shapes, which
    the float op has checked."""
    define(
        op,
        to,
        "retinaface_detection",
        tuple(to.fp32(name) for name in op.inputs),
        {
            "nms_threshold": NEVER,
            "confidence_threshold": float(op.confidence_threshold),
            "keep_topk": op.keep_top_k,
        },
    )


@requires(RetinaFaceDetection, precision=DType.FP32)
def without_suppression(op: RetinaFaceDetection, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's suppression compares the wrong faces: it drops some that overlap with none

    give the layer nms_threshold 1, which keeps every face above the confidence threshold, and
    suppress on the host; or end the network before the layer with --outputs
    """
    return op.nms_threshold >= 1
