"""What every layer with a filter has in common: one convolution and what surrounds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from cvi.ir import Array, Op, Shape
from cvi.ops import FullyConnected, MatMul, Pad
from cvi.ops.windows import extent
from cvi_tpu.quantized.ops import Int8Conv2d, Pads, Pair
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.dilation import join_phases, phases_of, split_phases
from cvi_tpu.quantized.scales import gain, to_steps
from cvi_tpu.quantized.weights import Filter, real_filter


@dataclass(frozen=True, kw_only=True)
class Window:
    """How a filter moves over its input; see Int8Conv2d. pad_value is a real number."""

    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    insert: Pair = (0, 0)
    group: int = 1
    pad_value: float = 0.0


def least_stride(stride: Pair, room: Pair) -> Pair:
    """The smallest stride with the same result. room: by how many pixels the window can
    move along each axis; a window that makes no step has any stride beyond that."""
    rows, columns = (
        step if step <= space else space + 1 for step, space in zip(stride, room, strict=True)
    )
    return rows, columns


def filter_of(
    to: Rewriter, layer: Op, x: Operand, weight: Array, bias: Array | None, group: int = 1
) -> Filter:
    """Quantise weight[oc, ic/group, ...] and bias[oc] for a layer that reads x.

    The means are those of the layer's operand, and of no use for what is computed from it.
    """
    reads = x == to.int8(layer.inputs[0])
    source = real_filter(
        weight,
        bias,
        x.scale,
        to.scale(layer.name),
        where=layer.name,
        thresholds=to.weight_thresholds(layer.name),
        means=means_of(to, layer, weight.shape[1] * group) if reads else None,
        zeros=(x.zero, to.zero(layer.name)),
    )
    return replace(source.nearest(), source=source)


def means_of(to: Rewriter, layer: Op, channels: int) -> Array | None:
    """The means of the channels that the filter multiplies with: axis 1 of images, the last
    one of rows. None when they are not known."""
    images = len(to.source.type_of(layer.inputs[0]).shape) == 4
    of_rows = isinstance(layer, (FullyConnected, MatMul))
    means = None if of_rows is images else to.means(layer.inputs[0])
    return means if means is not None and len(means) == channels else None


def convolve(
    chain: Chain, x: Operand, window: Window, weight: Array, bias: Array | None, *, relu: bool
) -> None:
    """Append the convolution of x with the real weight[oc, ic/group, kh, kw] and bias[oc].

    `chain` is at a tensor [n, ic, h, w] with the scale of x.
    """
    to, layer = chain.to, chain.layer
    kernel = filter_of(to, layer, x, weight, bias, window.group)
    y_zero = to.zero(layer.name)
    relu = relu and y_zero == 0  # else saturation at -128 does its work
    place(chain, window, Int8Kernel(kernel, x, to.scale(layer.name), y_zero, relu))


def convolve_quantised(
    chain: Chain, x: Operand, window: Window, kernel: Filter, y_scale: float, *, relu: bool = False
) -> None:
    """As `convolve`, with a filter that is quantised already for a result in y_scale."""
    place(chain, window, Int8Kernel(kernel, x, y_scale, 0, relu))


Change = Callable[[Array], Array]


class Kernel(Protocol):
    """A filter of some precision, ready to be applied."""

    @property
    def weight(self) -> Array:
        """The stored weights [oc, ic/group, kh, kw]."""

    def spread(self, change: Change) -> Kernel:
        """The same filter with zeros between its weights: what `change` does to an array."""

    def fills(self, value: float) -> bool:
        """Whether the convolution itself can pad with this real number."""

    def apply(self, chain: Chain, window: Window) -> None:
        """Append the convolution."""


@dataclass(frozen=True)
class Int8Kernel:
    """A filter in int8, from the tensor x to one in steps of y_scale around y_zero."""

    filter: Filter
    x: Operand
    y_scale: float
    y_zero: int
    relu: bool

    @property
    def weight(self) -> Array:
        return self.filter.weight

    def spread(self, change: Change) -> Int8Kernel:
        source = self.filter.source
        if source is not None:
            source = replace(source, weight=change(source.weight))
        made = replace(self.filter, weight=change(self.filter.weight), source=source)
        return replace(self, filter=made)

    def fills(self, value: float) -> bool:
        return True

    def apply(self, chain: Chain, window: Window) -> None:
        """Append the convolution, and the gains of channels that it does not bring to scale."""
        fill = to_steps(window.pad_value + self.x.zero * self.x.scale, self.x.scale)
        conv = _int8_conv(chain, self.filter, window, fill, self.y_scale, relu=self.relu)
        chain.then("conv", replace(conv, out_zero=self.y_zero))
        if not self.filter.exact:
            chain.then("gain", _channel_gains(chain, self.filter.gains, self.y_scale))


def place(chain: Chain, window: Window, kernel: Kernel) -> None:
    """Append the convolution of the chain's tensor [n, ic, h, w] with a filter."""
    to, weight = chain.to, kernel.weight
    size = (weight.shape[2], weight.shape[3])
    phases = phases_of(window.dilation, size, to.spec.max_dilation)
    if phases != (1, 1) and window.stride == (1, 1) and window.insert == (0, 0):
        room = _room(chain.shape, window, size)
        split_phases(chain, phases, window.pads, window.pad_value)
        dilation = (window.dilation[0] // phases[0], window.dilation[1] // phases[1])
        _place(chain, replace(window, pads=(0,) * 4, dilation=dilation), kernel)
        join_phases(chain, phases, (room[0] + 1, room[1] + 1))
    else:
        _place(chain, window, kernel)


def _place(chain: Chain, window: Window, kernel: Kernel) -> None:
    kernel, window = _fit_dilation(kernel, window, chain.to.spec.max_dilation)
    most = chain.to.spec.max_pad if kernel.fills(window.pad_value) else 0
    kernel.apply(chain, _fit_pads(chain, window, most))


def _room(shape: Shape, window: Window, kernel: Pair) -> Pair:
    """By how many pixels a filter can move over a tensor [n, c, h, w]."""
    pads, reach = window.pads, window.dilation
    rows, columns = (
        shape[2 + i] + pads[i] + pads[2 + i] - extent(kernel[i], reach[i]) for i in (0, 1)
    )
    return rows, columns


def _int8_conv(
    chain: Chain, kernel: Filter, window: Window, fill: int, y_scale: float, *, relu: bool
) -> Int8Conv2d:
    to, name = chain.to, chain.layer.name
    weight = to.store(name, "weight", kernel.weight)
    if kernel.source is not None:
        to.filters[weight] = kernel.source
    return Int8Conv2d(
        name="",
        inputs=(
            "",
            weight,
            "" if kernel.bias is None else to.store(name, "bias", kernel.bias),
            to.store(name, "multiplier", kernel.multiplier),
            to.store(name, "shift", kernel.shift),
        ),
        out_scale=y_scale,
        stride=window.stride,
        pads=window.pads,
        dilation=window.dilation,
        insert=window.insert,
        group=window.group,
        fill=fill,
        relu=relu,
    )


def _channel_gains(chain: Chain, gains: Array, y_scale: float) -> Int8Conv2d:
    """Multiply every channel by its gain: a depthwise convolution of one pixel.

    A channel with gain 1 passes unchanged (weight 64, ratio 1/64).
    """
    rates = [gain(g) for g in gains.tolist()]
    kernel = Filter(
        weight=np.array([r.weight for r in rates], np.int8).reshape(-1, 1, 1, 1),
        bias=None,
        multiplier=np.array([r.multiplier for r in rates], np.uint32),
        shift=np.array([r.shift for r in rates], np.uint8),
        gains=np.ones(len(rates)),
    )
    return _int8_conv(chain, kernel, Window(group=len(rates)), 0, y_scale, relu=False)


def _fit_pads(chain: Chain, window: Window, most: int) -> Window:
    """Put a Pad before the convolution for what exceeds the 4 bits of the pad fields.

    A row that is padded before the insertion counts for insert + 1 rows after it.
    """
    if max(window.pads) <= most:
        return window
    steps = (window.insert[0] + 1, window.insert[1] + 1) * 2
    ahead = tuple(
        -(-max(pad - most, 0) // step) for pad, step in zip(window.pads, steps, strict=True)
    )
    top, left, bottom, right = ahead
    pad = Pad(
        name="",
        inputs=("",),
        before=(0, 0, top, left),
        after=(0, 0, bottom, right),
        value=window.pad_value,
    )
    chain.then("pad", pad)
    rest = [pad - extra * step for pad, extra, step in zip(window.pads, ahead, steps, strict=True)]
    return replace(window, pads=(rest[0], rest[1], rest[2], rest[3]))


def _fit_dilation(kernel: Kernel, window: Window, most: int) -> tuple[Kernel, Window]:
    """Put zeros into the filter along an axis that is dilated more than the chip can: the
    way that works with strides and insertions too."""
    if max(window.dilation) <= most:
        return kernel, window
    rows, columns = (step if step > most else 1 for step in window.dilation)
    left = (window.dilation[0] // rows, window.dilation[1] // columns)
    return kernel.spread(partial(_spread, steps=(rows, columns))), replace(window, dilation=left)


def _spread(weight: Array, steps: Pair) -> Array:
    """weight[oc, ic/group, kh, kw] with steps - 1 rows and columns of zeros in between."""
    oc, icg, kh, kw = weight.shape
    spread = np.zeros((oc, icg, extent(kh, steps[0]), extent(kw, steps[1])), weight.dtype)
    spread[:, :, :: steps[0], :: steps[1]] = weight
    return spread
