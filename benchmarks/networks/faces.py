"""Face networks with ResNet-50, written from the papers' architectures as Caffe networks."""

from __future__ import annotations

from pathlib import Path

from benchmarks.networks.prototxt import Blob, Prototxt

# -- ArcFace ----------------------------------------------------------------------------

EMBEDDING = 512


def arcface_res50(path: Path) -> None:
    """ArcFace's ResNet-50 for faces of 112x112 (Deng and others 2019): blocks of
    normalisation, two 3x3 convolutions with PReLU between them, normalisation; no pooling
    at the beginning, and the whole last map goes into the embedding."""
    net = Prototxt("arcface_res50", (1, 3, 112, 112))
    x = net.batch_norm("conv0_bn", net.conv("conv0", net.data(), 64, 3))
    x = net.prelu("conv0_prelu", x)
    for stage, (blocks, channels) in enumerate(((3, 64), (4, 128), (14, 256), (3, 512))):
        for index in range(blocks):
            name = f"stage{stage + 1}_unit{index + 1}"
            x = _improved_block(net, name, x, channels, first=not index)
    x = net.inner_product("pre_fc1", net.batch_norm("bn1", x), EMBEDDING)
    net.batch_norm("fc1", x)
    net.save(path)


def _improved_block(net: Prototxt, name: str, x: Blob, channels: int, *, first: bool) -> Blob:
    stride = 2 if first else 1
    y = net.conv(f"{name}_conv1", net.batch_norm(f"{name}_bn1", x), channels, 3)
    y = net.prelu(f"{name}_prelu", net.batch_norm(f"{name}_bn2", y))
    y = net.batch_norm(f"{name}_bn3", net.conv(f"{name}_conv2", y, channels, 3, stride=stride))
    if first:
        x = net.conv(f"{name}_skip", x, channels, 1, stride=stride)
        x = net.batch_norm(f"{name}_skip_bn", x)
    return net.add(f"{name}_sum", y, x)


# -- RetinaFace -------------------------------------------------------------------------

ANCHORS = 2
PYRAMID = 256


def retinaface_res50(path: Path) -> None:
    """RetinaFace with ResNet-50 (Deng and others 2020) for images of 600x600: a feature
    pyramid over strides 8, 16 and 32, on each level a context module and three heads."""
    net = Prototxt("retinaface_res50", (1, 3, 600, 600))
    levels = _backbone(net)
    c1, c2, c3 = (
        _conv_relu(net, f"rf_c{level}_lateral", x, PYRAMID, 1)
        for level, x in enumerate(levels, start=1)
    )
    c2 = _joined(net, "rf_c2", c2, c3)
    c1 = _joined(net, "rf_c1", c1, c2)
    for level, x in ((3, c3), (2, c2), (1, c1)):
        _heads(net, 4 << level, _context(net, f"rf_c{level}_det", x))
    net.save(path)


def _backbone(net: Prototxt) -> tuple[Blob, Blob, Blob]:
    """ResNet-50 with activations before convolutions (He and others 2016). The maps of
    strides 8 and 16 are those that the first blocks of the next stages are about to shrink."""
    x = _conv_relu(net, "conv0", net.batch_norm("bn_data", net.data()), 64, 7, stride=2)
    x = net.max_pool("pool0", x)
    shrinking = []
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for index in range(blocks):
            stride = 2 if stage and not index else 1
            name = f"stage{stage + 1}_unit{index + 1}"
            x, inner = _early_block(net, name, x, 64 << stage, stride, first=not index)
            shrinking += [inner] if stride == 2 else []
    return shrinking[1], shrinking[2], _normed_relu(net, "last", x)


def _early_block(
    net: Prototxt, name: str, x: Blob, width: int, stride: int, *, first: bool
) -> tuple[Blob, Blob]:
    """The sum, and what the 3x3 convolution reads."""
    active = _normed_relu(net, f"{name}_1", x)
    inner = net.conv(f"{name}_conv1", active, width, 1)
    inner = _normed_relu(net, f"{name}_2", inner)
    y = net.conv(f"{name}_conv2", inner, width, 3, stride=stride)
    y = net.conv(f"{name}_conv3", _normed_relu(net, f"{name}_3", y), 4 * width, 1)
    if first:
        x = net.conv(f"{name}_skip", active, 4 * width, 1, stride=stride)
    return net.add(f"{name}_sum", y, x), inner


def _normed_relu(net: Prototxt, name: str, x: Blob) -> Blob:
    return net.relu(f"{name}_relu", net.batch_norm(f"{name}_bn", x))


def _conv_relu(
    net: Prototxt, name: str, x: Blob, channels: int, kernel: int, stride: int = 1
) -> Blob:
    y = net.conv(name, x, channels, kernel, stride=stride)
    return _normed_relu(net, name, y)


def _joined(net: Prototxt, name: str, fine: Blob, coarse: Blob) -> Blob:
    """A level of the pyramid with what the coarser one says, smoothed."""
    total = net.add(f"{name}_plus", fine, net.enlarged(f"{name}_upsampling", coarse, fine))
    return _conv_relu(net, f"{name}_aggr", total, PYRAMID, 3)


def _context(net: Prototxt, name: str, x: Blob) -> Blob:
    """Half of the channels from a 3x3 convolution, a quarter each from two and from three."""
    half, quarter = PYRAMID, PYRAMID // 2
    near = _conv_norm(net, f"{name}_conv1", x, half)
    shared = net.relu(f"{name}_context_relu", _conv_norm(net, f"{name}_context", x, quarter))
    middle = _conv_norm(net, f"{name}_context2", shared, quarter)
    far = net.relu(f"{name}_context3_relu", _conv_norm(net, f"{name}_context3", shared, quarter))
    far = _conv_norm(net, f"{name}_context4", far, quarter)
    return net.relu(f"{name}_relu", net.concat(f"{name}_concat", (near, middle, far)))


def _conv_norm(net: Prototxt, name: str, x: Blob, channels: int) -> Blob:
    return net.batch_norm(f"{name}_bn", net.conv(name, x, channels, 3))


def _heads(net: Prototxt, stride: int, x: Blob) -> None:
    """Per place and anchor: face or not, a box, five points."""
    scores = net.conv(f"face_rpn_cls_score_stride{stride}", x, 2 * ANCHORS, 1, bias=True)
    net.softmax(f"face_rpn_cls_prob_stride{stride}", scores)
    net.conv(f"face_rpn_bbox_pred_stride{stride}", x, 4 * ANCHORS, 1, bias=True)
    net.conv(f"face_rpn_landmark_pred_stride{stride}", x, 10 * ANCHORS, 1, bias=True)
