"""Small graphs that tests of the IR and of the passes share."""

from __future__ import annotations

import numpy as np

from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Add, Conv2d, FullyConnected, MaxPool2d, Relu, Reshape
from cvi.preprocess.spec import Preprocess

PREPROCESS = Preprocess(
    net_input_dims=(8, 8), resize_dims=(10, 10), mean=(1.5, 2.0, 0.1), channel_order="rgb"
)


def small_net(seed: int = 0) -> Graph:
    """Convolution, addition, pool and classifier on an 8x8 image."""
    rng = np.random.default_rng(seed)
    graph = Graph("small")
    shape = TensorType((1, 3, 8, 8))
    graph.add(Input(name="data", type=shape, source="data", preprocess=PREPROCESS))
    w = graph.constant("w", rng.standard_normal((4, 3, 3, 3), np.float32))
    b = graph.constant("b", rng.standard_normal(4, np.float32))
    v = graph.constant("v", rng.standard_normal((5, 64), np.float32))
    graph.add(Conv2d(name="conv", inputs=("data", w, b), pads=(1, 1, 1, 1), source="c:0"))
    graph.add(Conv2d(name="other", inputs=("data", w, ""), pads=(1, 1, 1, 1), group=1))
    graph.add(Add(name="sum", inputs=("conv", "other"), relu=True, relu_max=6.0))
    graph.add(MaxPool2d(name="pool", inputs=("sum",), kernel=(2, 2), stride=(2, 2)))
    graph.add(Relu(name="relu", inputs=("pool",)))
    graph.add(Reshape(name="flat", inputs=("relu",), shape=(1, 64)))
    graph.add(FullyConnected(name="fc", inputs=("flat", v, "")))
    graph.outputs = ("fc", "pool")
    return graph


def int8_input(name: str, shape: tuple[int, ...], scale: float) -> Input:
    return Input(name=name, type=TensorType(shape, DType.INT8, scale))
