"""LSTM, Embed and ArgMax against numpy, step by step as Caffe documents them."""

from __future__ import annotations

import numpy as np
import pytest
from caffe_nets import Made, close, inputs_text, layer_text, loaded, numbers, values

from cvi.errors import UnsupportedError
from cvi.ir import Array

T, N, WIDTH, H = 5, 2, 3, 4
W, B, R = numbers(4 * H, WIDTH, seed=1), numbers(4 * H, seed=2), numbers(4 * H, H, seed=3)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def expected(x: Array) -> Array:
    """[T, N, H] of the gates i, f, o, g, beginning with zeros."""
    h = c = np.zeros((N, H))
    steps = []
    for t in range(T):
        i, f, o, g = np.split(x[t].reshape(N, -1) @ W.T + B + h @ R.T, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        steps.append(h)
    return np.stack(steps)


CONTINUES = (
    'layer { name: "cont" type: "ContinuationIndicator" top: "cont" '
    f"continuation_indicator_param {{ time_step: {T} batch_size: {N} }} }}\n"
)


@pytest.mark.parametrize("shape", [(T, N, WIDTH), (T, N, 1, WIDTH)])
def test_lstm(made: Made, shape: tuple[int, ...]) -> None:
    text = inputs_text({"x": shape}) + CONTINUES
    text += layer_text("LSTM", f"recurrent_param {{ num_output: {H} }}", bottoms=["x", "cont"])
    graph = loaded(*made(text, {"layer": [W, B, R]}))
    x = numbers(*shape)
    ours = values(graph, {"x": x})["layer"]
    assert ours.shape == (T, N, H)
    close(ours, expected(x))


def test_lstm_of_rows(made: Made) -> None:
    params = f"lstm_param {{ num_output: {H} batch_size: {N} clipping_threshold: 2 }}"
    text = inputs_text({"x": (T * N, WIDTH)}) + layer_text("Lstm", params, bottoms=["x"])
    graph = loaded(*made(text, {"layer": [W, R, B]}))
    x = numbers(T * N, WIDTH)
    close(values(graph, {"x": x})["layer"], expected(x.reshape(T, N, WIDTH)).reshape(T * N, H))


def test_sequences_that_begin_where_the_data_say_are_refused(made: Made) -> None:
    text = inputs_text({"x": (T, N, WIDTH), "cont": (T, N)})
    text += layer_text("LSTM", f"recurrent_param {{ num_output: {H} }}", bottoms=["x", "cont"])
    with pytest.raises(UnsupportedError) as caught:
        loaded(*made(text, {"layer": [W, B, R]}))
    assert "beginnings of sequences" in caught.value.problems[0]


@pytest.mark.parametrize("bias", [False, True])
def test_embed(made: Made, bias: bool) -> None:
    table, offset = numbers(7, 3), numbers(3, seed=1)
    params = f"embed_param {{ num_output: 3 input_dim: 7 bias_term: {str(bias).lower()} }}"
    text = inputs_text({"x": (2, 4)}) + layer_text("Embed", params, bottoms=["x"])
    graph = loaded(*made(text, {"layer": [table, offset][: 1 + bias]}))
    indices = np.array([[0, 6, 3, 3], [5, 1, 0, 2]], np.float32)
    ours = values(graph, {"x": indices})["layer"]
    assert ours.shape == (2, 4, 3)
    close(ours, table[indices.astype(int)] + offset * bias)


@pytest.mark.parametrize(
    "params, result",
    [
        ("axis: 1", lambda x: x.argmax(1)[:, None]),
        ("axis: -1", lambda x: x.argmax(-1)[..., None]),
        ("axis: 1 out_max_val: true", lambda x: x.max(1, keepdims=True)),
        ("", lambda x: x.reshape(2, -1).argmax(1).reshape(2, 1, 1)),
    ],
)
def test_arg_max(made: Made, params: str, result: object) -> None:
    text = inputs_text({"x": (2, 5, 3, 4)})
    text += layer_text("ArgMax", f"argmax_param {{ {params} }}", bottoms=["x"])
    x = numbers(2, 5, 3, 4)
    ours = values(loaded(made(text)[0]), {"x": x})["layer"]
    assert callable(result) and np.array_equal(ours, result(x))
