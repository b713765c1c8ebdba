"""Anchors, boxes and what becomes of them."""

from __future__ import annotations

from cvi import ops
from cvi.ops.windows import Pair
from cvi_frontend_caffe.converters.window import two_dimensional
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value

_LOWEST = -3.4028234663852886e38
"""The least fp32: every confidence is above it."""

_SAME_RATIO = 1e-6
_MAX_SIZES = 1 << 10


@converts("PriorBox")
def prior_box(layer: Layer) -> Value:
    """Constant boxes for every cell of a feature map, from its size and the image's."""
    params = layer.params("prior_box_param")
    feature, image = (two_dimensional(layer, x) for x in layer.bottoms(2, 2))
    size = _image_size(params, image)
    cells = feature.shape[2], feature.shape[3]
    least, most = params.numbers("min_size"), params.numbers("max_size")
    variances = params.numbers("variance") or (0.1,)
    if not least or len(most) not in (0, len(least)) or len(variances) not in (1, 4):
        layer.broken(
            f"has {len(least)} min sizes, {len(most)} max sizes, {len(variances)} variances"
        )
    if min(*least, *most, *variances) <= 0 or any(a <= b for a, b in zip(most, least)):  # noqa: B905
        layer.broken("has a size or variance that is not positive, or a max below its min size")
    ratios = _ratios(layer, params)
    if len(least) * (len(ratios) + 2) > _MAX_SIZES:
        layer.broken("has thousands of boxes per cell")
    boxes = ops.prior_boxes(
        feature=cells,
        image=size,
        min_sizes=least,
        max_sizes=most,
        aspect_ratios=ratios,
        variances=variances,
        step=_step(layer, params, size, cells),
        offset=params.number("offset"),
        clip=params.flag("clip"),
    )
    return Value.of(boxes)


def _image_size(params: Params, image: Value) -> Pair:
    if params.has("img_size"):
        return params.integer("img_size"), params.integer("img_size")
    if params.has("img_h") or params.has("img_w"):
        return params.integer("img_h"), params.integer("img_w")
    return image.shape[2], image.shape[3]


def _step(layer: Layer, params: Params, size: Pair, cells: Pair) -> tuple[float, float]:
    """Pixels per cell: given, or what the sizes make it."""
    if params.has("step"):
        step = params.number("step"), params.number("step")
    elif params.has("step_h") or params.has("step_w"):
        step = params.number("step_h"), params.number("step_w")
    else:
        step = 0.0, 0.0
    h, w = (s or whole / count for s, whole, count in zip(step, size, cells, strict=True))
    if h <= 0 or w <= 0:
        layer.broken(f"has cells of {h:g}x{w:g} pixels")
    return h, w


def _ratios(layer: Layer, params: Params) -> tuple[float, ...]:
    """The ratios besides 1, each once, flipped ones behind their own."""
    known = [1.0]
    flip = params.flag("flip")
    for ratio in params.numbers("aspect_ratio"):
        if ratio <= 0:
            layer.broken(f"has the aspect ratio {ratio:g}")
        if all(abs(ratio - other) >= _SAME_RATIO for other in known):
            known += [ratio, 1 / ratio] if flip else [ratio]
    return tuple(known[1:])


@converts("DetectionOutput")
def detection_output(layer: Layer) -> Value:
    """Bottoms: locations, confidences, prior boxes; rows of the best detections."""
    params = layer.params("detection_output_param")
    loc, conf, priors = layer.bottoms(3, 3)
    nms = params.inner("nms_param")
    if nms.number("eta") != 1:
        layer.refuse(f"adapts its threshold (eta {nms.number('eta'):g})")
    if params.flag("variance_encoded_in_target"):
        layer.refuse("has no variances in its prior boxes (variance_encoded_in_target)")
    if params.integer("keep_top_k") < 1:
        layer.refuse("keeps any number of detections; keep_top_k must be given")
    threshold = params if params.has("nms_threshold") else nms
    op = ops.DetectionOutput(
        name=layer.top_name(0),
        num_classes=params.integer("num_classes"),
        share_location=params.flag("share_location"),
        background_label=params.integer("background_label_id"),
        code_type=params.choice("code_type").lower(),
        nms_threshold=threshold.number("nms_threshold"),
        top_k=nms.integer("top_k") if nms.has("top_k") else -1,
        keep_top_k=params.integer("keep_top_k"),
        confidence_threshold=params.number("confidence_threshold")
        if params.has("confidence_threshold")
        else _LOWEST,
    )
    nms.ignore("nms_threshold")
    return layer.emit(op, loc, conf, priors)


@converts("YoloDetection")
def yolo_detection(layer: Layer) -> Value:
    """Bottoms: the maps of a YOLO v3 or v4; rows of the best detections."""
    params = layer.params("yolo_detection_param")
    op = ops.YoloDetection(
        name=layer.top_name(0),
        net_size=(params.integer("net_input_h"), params.integer("net_input_w")),
        classes=params.integer("class_num"),
        anchors=_anchors(layer, params.text("anchors")),
        nms_threshold=params.number("nms_threshold"),
        obj_threshold=params.number("obj_threshold"),
        keep_top_k=params.integer("keep_topk"),
        tiny=params.flag("tiny"),
        yolo_v4=params.flag("yolo_v4"),
        spp_net=params.flag("spp_net"),
    )
    return layer.emit(op, *layer.bottoms(2))


def _anchors(layer: Layer, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        layer.broken(f"has the anchors {text!r}, which are no numbers")


@converts("RetinaFaceDetection")
def retinaface_detection(layer: Layer) -> Value:
    """Bottoms: scores, boxes and landmarks of three strides; rows of the best faces."""
    params = layer.params("retinaface_detection_param")
    op = ops.RetinaFaceDetection(
        name=layer.top_name(0),
        nms_threshold=params.number("nms_threshold"),
        confidence_threshold=params.number("confidence_threshold"),
        keep_top_k=params.integer("keep_topk"),
    )
    return layer.emit(op, *layer.bottoms(9, 9))


@converts("FrcnDetection")
def frcn_detection(layer: Layer) -> Value:
    """Bottoms: box deltas, scores, regions."""
    params = layer.params("frcn_detection_param")
    op = ops.FrcnDetection(
        name=layer.top_name(0),
        class_num=params.integer("class_num"),
        obj_threshold=params.number("obj_threshold"),
        nms_threshold=params.number("nms_threshold"),
        keep_top_k=params.integer("keep_topk"),
    )
    return layer.emit(op, *layer.bottoms(3, 3))


@converts("Proposal")
def proposal(layer: Layer) -> Value:
    """Bottoms: scores and box deltas of a region proposal network."""
    params = layer.params("proposal_param")
    scores, deltas = layer.bottoms(2, 2)
    op = ops.Proposal(
        name=layer.top_name(0),
        feat_stride=params.integer("feat_stride"),
        anchor_base_size=params.integer("anchor_base_size"),
        net_size=(params.integer("net_input_h"), params.integer("net_input_w")),
        obj_threshold=params.number("rpn_obj_threshold"),
        nms_threshold=params.number("rpn_nms_threshold"),
        post_nms_top_n=params.integer("rpn_nms_post_top_n"),
    )
    return layer.emit(op, scores, deltas)


@converts("ROIPooling")
def roi_pooling(layer: Layer) -> Value:
    """Bottoms: features and regions."""
    params = layer.params("roi_pooling_param")
    x, regions = layer.bottoms(2, 2)
    size = params.integers("pooled_size")
    if len(size) > 2:
        layer.broken(f"pools to {size}")
    if not size:
        size = params.integer("pooled_h"), params.integer("pooled_w")
    op = ops.RoiPooling(
        name=layer.top_name(0),
        pooled=(size[0], size[-1]),
        spatial_scale=params.number("spatial_scale"),
    )
    return layer.emit(op, x, regions)


@converts("Python")
def python(layer: Layer) -> Value:
    """Code that the file only names."""
    params = layer.params("python_param")
    code = f"{params.text('module')}.{params.text('layer')}"
    layer.refuse(f"is Python code ({code}), which never runs")
