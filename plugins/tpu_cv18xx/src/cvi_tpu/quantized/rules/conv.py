"""Convolutions in INT8 and BF16."""

from __future__ import annotations

from cvi.ir import Array, Graph, Op
from cvi.ops import Conv2d, Permute, Slice
from cvi.ops.windows import extent
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Pair
from cvi_tpu.quantized.registry import TPU, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import filtered
from cvi_tpu.quantized.rules.filters import Window, least_stride


def constants_of(op: Op, to: Rewriter) -> tuple[Array, Array | None]:
    """The weight and the optional bias of a layer."""
    weight = to.constant(op.inputs[1])
    assert weight is not None
    bias = to.constant(op.inputs[2]) if len(op.inputs) > 2 and op.inputs[2] else None
    return weight, bias


@quantizes(Conv2d, precision=TPU)
def conv2d(op: Conv2d, to: Rewriter) -> None:
    """One convolution; patches (stride as large as the kernel) beyond the stride's range
    are first laid out as channels."""
    x = to.operand(op.inputs[0])
    chain = Chain(to, op, x)
    window, weight, bias = _filter(op, chain)
    filtered(chain, x, window, weight, bias, relu=op.relu, relu_max=op.relu_max)
    chain.close()


def _filter(op: Conv2d, chain: Chain) -> tuple[Window, Array, Array | None]:
    """How the filter moves over the chain's tensor, the filter and the bias."""
    weight, bias = constants_of(op, chain.to)
    window = Window(
        stride=_stride(op, chain.to.source),
        pads=op.pads,
        dilation=op.dilation,
        group=op.group,
        pad_value=op.pad_value,
    )
    if max(window.stride) > chain.to.spec.max_stride:
        patches_to_channels(chain, op.stride)
        weight = weight.reshape(weight.shape[0], -1, 1, 1)
        window = Window(group=op.group)
    return window, weight, bias


def patches_to_channels(chain: Chain, size: Pair) -> None:
    """[n, c, h*kh, w*kw] to [n, c*kh*kw, h, w]; rows and columns of no full patch go."""
    kh, kw = size
    n, c, height, width = chain.shape
    h, w = height // kh, width // kw
    if (h * kh, w * kw) != (height, width):
        cut = Slice(
            name="", inputs=("",), starts=(0,) * 4, sizes=(n, c, h * kh, w * kw), steps=(1,) * 4
        )
        chain.then("cut", cut)
    chain.reshape("split", (n, c, h, kh, w, kw))
    chain.then("patches", Permute(name="", inputs=("",), order=(0, 1, 3, 5, 2, 4)))
    chain.reshape("channels", (n, c * kh * kw, h, w))


def _stride(op: Conv2d, graph: Graph) -> Pair:
    x, kernel = (graph.type_of(name).shape for name in op.inputs[:2])
    room = tuple(
        x[2 + i] + op.pads[i] + op.pads[2 + i] - extent(kernel[2 + i], op.dilation[i])
        for i in (0, 1)
    )
    return least_stride(op.stride, (room[0], room[1]))


@requires(Conv2d, precision=TPU)
def strides_in_range(op: Conv2d, graph: Graph, spec: ChipSpec) -> bool:
    """the stride exceeds what the chip can do (15, on the CV182x family 31)

    only strides equal to the kernel without padding are possible beyond; use two layers
    """
    if max(_stride(op, graph)) <= spec.max_stride:
        return True
    kernel = graph.type_of(op.inputs[1]).shape[2:]
    return kernel == op.stride and not any(op.pads) and op.dilation == (1, 1)


@requires(Conv2d, precision=TPU)
def filter_is_constant(op: Conv2d, graph: Graph, spec: ChipSpec) -> bool:
    """the weight or bias is computed by the network

    only constant filters can be quantised; fold the computation into the model
    """
    return all(not name or name in graph.constants for name in op.inputs[1:])
