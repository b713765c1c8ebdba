"""Networks of ResNet-50's family, written from the papers' architectures.

ResNet-50: a 7x7 convolution and a maximum, both of stride 2, then stages of 3, 4, 6 and 3
blocks. A block takes its image through three convolutions and adds the image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.networks.onnx_network import OnnxNetwork, Tensor

CLASSES = 1000
STAGES = (3, 4, 6, 3)
EXPANSION = 4

Middle = Callable[[OnnxNetwork, str, Tensor, int, int, bool], Tensor]
"""The 3x3 part of a block: network, block's name, image, width, stride, first of its stage."""

Gate = Callable[[OnnxNetwork, str, Tensor, bool], Tensor]
"""What is done to a block's image before the sum: network, block's name, image, first."""


def conv_relu(
    net: OnnxNetwork, name: str, x: Tensor, channels: int, kernel: int, stride: int = 1
) -> Tensor:
    """Convolution, batch normalisation, ReLU."""
    return net.relu(f"{name}.relu", conv_norm(net, name, x, channels, kernel, stride))


def conv_norm(
    net: OnnxNetwork, name: str, x: Tensor, channels: int, kernel: int, stride: int = 1
) -> Tensor:
    """Convolution and batch normalisation."""
    y = net.conv(f"{name}.conv", x, channels, kernel, stride=stride)
    return net.batch_norm(f"{name}.bn", y)


def plain_middle(
    net: OnnxNetwork, name: str, x: Tensor, width: int, stride: int, first: bool
) -> Tensor:
    """One 3x3 convolution, which has the stride (ResNet "1.5")."""
    del first
    return conv_relu(net, name, x, width, 3, stride)


def backbone(
    net: OnnxNetwork,
    *,
    width: int = 64,
    middle: Middle = plain_middle,
    gate: Gate | None = None,
) -> Tensor:
    """All stages; width: channels inside the blocks of the first one."""
    x = net.max_pool("stem.pool", conv_relu(net, "stem", net.image(), 64, 7, 2))
    for stage, blocks in enumerate(STAGES):
        for index in range(blocks):
            name = f"stage{stage + 1}.{index}"
            stride = 2 if stage and not index else 1
            sizes = (width << stage, 64 * EXPANSION << stage)
            x = _block(net, name, x, sizes, stride, not index, middle, gate)
    return x


def _block(
    net: OnnxNetwork,
    name: str,
    x: Tensor,
    sizes: tuple[int, int],
    stride: int,
    first: bool,
    middle: Middle,
    gate: Gate | None,
) -> Tensor:
    """sizes: channels inside and of the result."""
    y = conv_relu(net, f"{name}.in", x, sizes[0], 1)
    y = middle(net, f"{name}.mid", y, sizes[0], stride, first)
    y = conv_norm(net, f"{name}.out", y, sizes[1], 1)
    if gate is not None:
        y = gate(net, name, y, first)
    shortcut = conv_norm(net, f"{name}.skip", x, sizes[1], 1, stride) if first else x
    return net.relu(f"{name}.relu", net.add(f"{name}.sum", y, shortcut))


def _classified(net: OnnxNetwork, x: Tensor, path: Path) -> None:
    pooled = net.flatten("flat", net.global_pool("pool", x))
    net.save(path, net.linear("output", pooled, CLASSES), (1, CLASSES))


# -- ECA-Net ----------------------------------------------------------------------------


def _channel_attention(net: OnnxNetwork, name: str, x: Tensor, first: bool) -> Tensor:
    """Every channel times a gate made of its mean and those of its two neighbours."""
    del first
    means = net.global_pool(f"{name}.means", x)
    gate = net.sigmoid(f"{name}.gate", net.neighbours(f"{name}.eca", means, 3))
    return net.scaled(f"{name}.scaled", x, gate)


def ecanet50(path: Path) -> None:
    """ECA-Net with ResNet-50 (Wang and others 2020), kernels of three channels."""
    net = OnnxNetwork("ecanet50", (224, 224))
    _classified(net, backbone(net, gate=_channel_attention), path)


# -- Res2Net ----------------------------------------------------------------------------

SCALES = 2


def _hierarchy(
    net: OnnxNetwork, name: str, x: Tensor, width: int, stride: int, first: bool
) -> Tensor:
    """Groups of channels: the first ones convolved, the last one passed on, or averaged
    at the beginning of a stage. With two scales no group reads another one's result."""
    del width
    head, tail = net.split(f"{name}.split", x, SCALES)
    made = conv_relu(net, f"{name}.0", head, head.channels, 3, stride)
    rest = net.avg_pool(f"{name}.rest", tail, stride) if first else tail
    return net.concat(f"{name}.joined", [made, rest])


def res2net50(path: Path) -> None:
    """Res2Net-50 of 48 channels in two scales (Gao and others 2019)."""
    net = OnnxNetwork("res2net50", (224, 224))
    _classified(net, backbone(net, width=48 * SCALES, middle=_hierarchy), path)


# -- FastPose ---------------------------------------------------------------------------

KEYPOINTS = 17


def _squeeze(net: OnnxNetwork, name: str, x: Tensor, first: bool) -> Tensor:
    """Squeeze and excitation without reduction, in the first block of every stage."""
    if not first:
        return x
    y = net.flatten(f"{name}.squeeze", net.global_pool(f"{name}.means", x))
    y = net.relu(f"{name}.fc1.relu", net.linear(f"{name}.fc1", y, x.channels))
    gate = net.sigmoid(f"{name}.gate", net.linear(f"{name}.fc2", y, x.channels))
    return net.scaled(f"{name}.scaled", x, net.image_of(f"{name}.gates", gate))


def alphapose(path: Path) -> None:
    """AlphaPose's FastPose (Fang and others 2022): ResNet-50 with squeeze and excitation,
    then three pixel shuffles; two of them, with a 3x3 convolution before, are its DUC."""
    height, width = 256, 192
    net = OnnxNetwork("alphapose", (height, width))
    x = net.pixel_shuffle("shuffle", backbone(net, gate=_squeeze), height // 32, width // 32)
    for index, channels in enumerate((1024, 512)):
        down = 16 >> index
        x = conv_relu(net, f"duc{index}", x, channels, 3)
        x = net.pixel_shuffle(f"duc{index}.shuffle", x, height // down, width // down)
    heat = net.conv("output", x, KEYPOINTS, 3, bias=True)
    net.save(path, heat, (1, KEYPOINTS, height // 4, width // 4))
