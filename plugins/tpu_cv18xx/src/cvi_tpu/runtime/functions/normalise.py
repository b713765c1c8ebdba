"""Softmax and instance normalisation."""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.errors import ModelError
from cvi.ir.types import Array
from cvi_tpu.libm import expf
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function


@cpu_function("softmax", "softmax_cpu")
def softmax(call: Call) -> list[Array]:
    """expf of the C library, a sequential fp32 sum, an fp32 division.

    What is subtracted before exp is the larger of a row's maximum and the first value at
    its position behind the axis in the whole tensor: the vendor's search starts there, also
    in later rows (measured).
    """
    x = call.fp32(0)
    call.fills(x.size)
    axis = call.axis()
    rows = x.reshape(prod(x.shape[:axis]), x.shape[axis], -1)
    largest = np.maximum(rows.max(axis=1, keepdims=True), rows[0, 0])
    powers = expf(rows - largest)
    # cumsum adds one after the other in fp32, which sum does not promise
    total = np.cumsum(powers, axis=1, dtype=np.float32)[:, -1:]
    with np.errstate(invalid="ignore"):  # all powers can underflow: 0 / 0, as on the board
        return [(powers / total).reshape(x.shape)]


@cpu_function("instance_norm")
def instance_norm(call: Call) -> list[Array]:
    """(x - mean / gamma[0]) / sqrt(variance / gamma[0] + variance_epsilon) + beta.

    Inputs: x, gamma, beta. The vendor's faults: gamma[0] divides the statistics of every
    channel and gamma scales nothing; all images are normalised with the statistics of the
    last one. Sums are sequential in fp32, of squares in double precision; the root and what
    follows it are in double precision.
    """
    x, gamma, beta = (call.fp32(index) for index in range(3))
    epsilon = np.float32(call.argument("variance_epsilon", float))
    call.fills(x.size)
    channels = x.shape[1]
    if beta.size < channels:
        raise ModelError(f"{beta.size} values of beta for {channels} channels")
    image = x[-1].reshape(channels, -1)
    count = np.float32(image.shape[1])
    mean = np.cumsum(image, axis=1, dtype=np.float32)[:, -1] / count
    variance = _sum_of_squares(image - mean[:, None]) / count
    factor = np.float32(1) / gamma.flat[0]
    mean, variance = mean * factor, variance * factor
    root = np.sqrt((variance + epsilon).astype(np.float64))
    centred = (x - mean[:, None, None]).astype(np.float64)
    bias = beta.reshape(-1)[:channels].astype(np.float64)
    return [(centred / root[:, None, None] + bias[:, None, None]).astype(np.float32)]


def _sum_of_squares(rows: Array) -> Array:
    """fp32 sums to which squares are added in double precision, one after the other."""
    squares = np.ascontiguousarray(rows.T, np.float64) ** 2
    total = np.zeros(len(rows), np.float32)
    for square in squares:
        total = (total + square).astype(np.float32)
    return total
