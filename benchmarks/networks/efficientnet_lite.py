"""EfficientNet-Lite0, written from its published architecture.

That of EfficientNet-B0 (Tan and Le 2019) without squeeze and excitation and with ReLU6 in
place of Swish: 32 channels, seven stages of inverted bottlenecks, 1280 channels.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.networks.onnx_network import OnnxNetwork, Tensor

CLASSES = 1000

STAGES = (
    (1, 1, 16, 3, 1),
    (2, 6, 24, 3, 2),
    (2, 6, 40, 5, 2),
    (3, 6, 80, 3, 2),
    (3, 6, 112, 5, 1),
    (4, 6, 192, 5, 2),
    (1, 6, 320, 3, 1),
)
"""Blocks, expansion, channels, kernel, stride of the first block."""


def efficientnet_lite_b0(path: Path) -> None:
    """The network, with a softmax-free end of 1000 classes."""
    net = OnnxNetwork("efficientnet_lite_b0", (224, 224))
    x = _active(net, "stem", net.image(), 32, 3, stride=2)
    for stage, (blocks, expansion, channels, kernel, stride) in enumerate(STAGES):
        for index in range(blocks):
            name = f"stage{stage + 1}.{index}"
            x = _block(net, name, x, channels, expansion, kernel, 1 if index else stride)
    x = _active(net, "head", x, 1280, 1)
    pooled = net.flatten("flat", net.global_pool("pool", x))
    net.save(path, net.linear("output", pooled, CLASSES), (1, CLASSES))


def _block(
    net: OnnxNetwork,
    name: str,
    x: Tensor,
    channels: int,
    expansion: int,
    kernel: int,
    stride: int,
) -> Tensor:
    """Expansion, a convolution of every channel by itself, projection; and the sum."""
    wide = x.channels * expansion
    y = _active(net, f"{name}.expand", x, wide, 1) if expansion > 1 else x
    y = _active(net, f"{name}.depthwise", y, wide, kernel, stride=stride, group=wide)
    y = net.batch_norm(f"{name}.project.bn", net.conv(f"{name}.project", y, channels, 1))
    same = stride == 1 and channels == x.channels
    return net.add(f"{name}.sum", y, x) if same else y


def _active(
    net: OnnxNetwork,
    name: str,
    x: Tensor,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    group: int = 1,
) -> Tensor:
    y = net.conv(f"{name}.conv", x, channels, kernel, stride=stride, group=group)
    return net.relu6(f"{name}.relu", net.batch_norm(f"{name}.bn", y))
