"""The text form of graphs."""

from __future__ import annotations

import hashlib

import numpy as np
from graphs import small_net

from cvi.ir import DType, Graph, Input, TensorType
from cvi.ir.text import to_text
from cvi.ops import Relu


def digest(graph, name):
    return hashlib.blake2b(graph.constants[name].tobytes(), digest_size=4).hexdigest()


def test_a_graph_reads_like_a_listing():
    graph = small_net()
    graph.constants = {
        "w": np.full((4, 3, 3, 3), 0.5, np.float32),
        "b": np.array([1, 2, 0.125, -1e-9], np.float32),
        "v": np.linspace(-1, 1, 320, dtype=np.float32).reshape(5, 64),
    }
    assert to_text(graph) == (
        "graph small\n"
        f"  @w : fp32[4x3x3x3] = 0.5 .. 0.5 #{digest(graph, 'w')}\n"
        "  @b : fp32[4] = 1, 2, 0.125, -1e-09\n"
        f"  @v : fp32[5x64] = -1 .. 1 #{digest(graph, 'v')}\n"
        "  %data : fp32[1x3x8x8] = Input() {preprocess=Preprocess(net_input_dims=(8, 8),"
        " resize_dims=(10, 10), keep_aspect_ratio=False, crop='center', raw_scale=255.0,"
        " mean=(1.5, 2.0, 0.1), std=(1.0, 1.0, 1.0), input_scale=1.0, channel_order='rgb',"
        " pixel_format='BGR_PLANAR', channels=3, aligned=False)}\n"
        "  %conv : fp32[1x4x8x8] = Conv2d(%data, @w, @b) {pads=(1, 1, 1, 1)}\n"
        "  %other : fp32[1x4x8x8] = Conv2d(%data, @w, none) {pads=(1, 1, 1, 1)}\n"
        "  %sum : fp32[1x4x8x8] = Add(%conv, %other) {relu=True, relu_max=6.0}\n"
        "  %pool : fp32[1x4x4x4] = MaxPool2d(%sum) {kernel=(2, 2), stride=(2, 2)}\n"
        "  %relu : fp32[1x4x4x4] = Relu(%pool)\n"
        "  %flat : fp32[1x64] = Reshape(%relu) {shape=(1, 64)}\n"
        "  %fc : fp32[1x5] = FullyConnected(%flat, @v, none)\n"
        "  return %fc, %pool\n"
    )


def test_a_changed_value_changes_the_digest():
    first, second = small_net(), small_net()
    second.constants["w"] = second.constants["w"].copy()
    second.constants["w"][0, 0, 1, 1] += 1e-6
    assert to_text(first) != to_text(second)
    assert to_text(first) == to_text(small_net())


def test_scales_and_awkward_names():
    graph = Graph("a b")
    graph.add(Input(name="x y", type=TensorType((2,), DType.INT8, 0.5)))
    graph.add(Input(name='q"', type=TensorType(())))
    graph.add(Relu(name="a/b:0", inputs=('q"',)))
    graph.outputs = ("a/b:0",)
    assert to_text(graph) == (
        'graph "a b"\n'
        '  %"x y" : int8[2]*0.5 = Input()\n'
        '  %"q\\"" : fp32[scalar] = Input()\n'
        '  %a/b:0 : fp32[scalar] = Relu(%"q\\"")\n'
        "  return %a/b:0\n"
    )
