"""Recurrent layers."""

from __future__ import annotations

import math

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("ContinuationIndicator")
def continuation_indicator(layer: Layer) -> Value:
    """[T, N]: 0 where a sequence begins, 1 where it goes on."""
    params = layer.params("continuation_indicator_param")
    params.ignore("flag")
    steps, batch = params.integer("time_step"), params.integer("batch_size")
    if not 0 < steps < 1 << 20 or not 0 < batch < 1 << 20:
        layer.broken(f"indicates {steps} steps of {batch} sequences")
    indicator = np.ones((steps, batch), np.float32)
    indicator[0] = 0
    return Value.of(indicator)


@converts("LSTM")
def lstm(layer: Layer) -> Value:
    """BVLC's: bottoms x[T, N, …] and the continuation [T, N]; the result [T, N, H].

    Blobs: weights of x [4H, I], biases [4H], weights of the state [4H, H]; gates i, f, o, g.
    """
    params = layer.params("recurrent_param")
    x, *others = layer.bottoms(1, 2)
    if x.rank < 2:
        layer.broken(f"reads a blob of {x.rank} dimensions")
    _check_continuation(layer, others, x)
    hidden, width = params.integer("num_output"), math.prod(x.shape[2:])
    w = layer.filters(0, (4 * hidden, width), width)
    bias = layer.bias(1, 4 * hidden)
    r = layer.filters(2, (4 * hidden, hidden), 4 * hidden)
    y = _lstm(layer, x, (x.shape[0], x.shape[1], width), w, r, bias)
    shape = (x.shape[0], x.shape[1], hidden)
    return layer.emit(ops.Reshape(name=layer.top_name(0), shape=shape), y)


@converts("Lstm")
def lstm_of_rows(layer: Layer) -> Value:
    """The fork's: x[T*N, …] to [T*N, H], N given by batch_size.

    Blobs: weights of x [4H, I], weights of the state [4H, H], biases [4H].
    """
    params = layer.params("lstm_param")
    params.ignore("clipping_threshold")
    (x,) = layer.bottoms(1, 1)
    batch, hidden = params.integer("batch_size"), params.integer("num_output")
    if batch < 1 or x.shape[0] % batch:
        layer.broken(f"reads {x.shape[0]} rows as sequences of a batch of {batch}")
    width = math.prod(x.shape[1:])
    w = layer.filters(0, (4 * hidden, width), width)
    r = layer.filters(1, (4 * hidden, hidden), 4 * hidden)
    bias = layer.bias(2, 4 * hidden)
    y = _lstm(layer, x, (x.shape[0] // batch, batch, width), w, r, bias)
    return layer.emit(ops.Reshape(name=layer.top_name(0), shape=(x.shape[0], hidden)), y)


def _check_continuation(layer: Layer, others: list[Value], x: Value) -> None:
    """The sequences go on from their first element to their last."""
    if not others:
        return
    array = others[0].array
    if array is None:
        layer.refuse("takes the beginnings of sequences from the data; a constant is needed")
    if array.shape != x.shape[:2] or not (array[1:] == 1).all():
        layer.refuse("has sequences that begin in the middle")


def _lstm(
    layer: Layer, x: Value, shape: tuple[int, int, int], w: Array, r: Array, bias: Array
) -> Value:
    """[T, 1, N, H] of gates that Caffe orders i, f, o, g and the op i, o, f, c."""
    if x.shape != shape:
        x = layer.emit(ops.Reshape(name=layer.helper("flat"), shape=shape), x)
    both = np.concatenate([_gates(bias), np.zeros_like(bias)])
    op = ops.Lstm(name=layer.helper("lstm"), direction="forward")
    return layer.emit(op, x, _gates(w)[None], _gates(r)[None], both[None])


def _gates(array: Array) -> Array:
    i, f, o, g = np.split(array, 4)
    return np.concatenate([i, o, f, g])
