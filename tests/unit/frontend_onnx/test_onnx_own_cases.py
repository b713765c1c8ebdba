"""Variants of ops that the node tests do not have: opsets 7 to 12, 1-D, odd operands.

Each case is a one-node model whose result must equal onnxruntime's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import Build, node

from cvi.errors import UnsupportedError
from cvi.execute import evaluate
from cvi.ir import Array
from cvi_frontend_onnx.frontend import OnnxFrontend

RNG = np.random.default_rng(3)


def weights(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


@dataclass
class Case:
    """One node. constants: operands after the data, in order ("" for absent ones)."""

    op: str
    shape: tuple[int, ...]
    opset: int
    constants: list[Array | None] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1

    def __str__(self) -> str:
        marks = "_".join(f"{k}{v}" for k, v in self.attributes.items() if not isinstance(v, bytes))
        return f"{self.op}-{self.opset}-{'x'.join(map(str, self.shape))}-{marks}"[:80]


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def scalar(value: float) -> Array:
    return np.array(value, np.float32)


IMAGE = (1, 3, 9, 8)
CASES = [
    # axes as attribute and operand
    Case("Squeeze", (1, 3, 1, 4), 11, attributes={"axes": [0, -2]}),
    Case("Squeeze", (1, 3, 1, 4), 13, [ints(2)]),
    Case("Unsqueeze", (3, 4), 7, attributes={"axes": [0, 3]}),
    Case("Unsqueeze", (3, 4), 13, [ints(-1, 0)]),
    # limits as attributes and operands
    Case("Clip", (2, 5), 7, attributes={"min": -0.5, "max": 0.25}),
    Case("Clip", (2, 5), 10, attributes={"min": 0.0}),
    Case("Clip", (2, 5), 11, [None, scalar(0.5)]),
    Case("Clip", (2, 5), 12, [scalar(-0.5)]),
    Case("Clip", (2, 5), 13, [scalar(0.5), scalar(-0.5)]),
    # padding
    Case("Pad", IMAGE, 7, attributes={"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 1.5}),
    Case("Pad", IMAGE, 10, attributes={"pads": [0, 0, 1, 2, 0, 0, 3, 0], "mode": "reflect"}),
    Case("Pad", IMAGE, 11, [ints(0, 0, 1, 0, 0, 1, 0, 2), scalar(-2)]),
    Case("Pad", IMAGE, 13, [ints(0, 0, -1, 0, 0, 0, 2, -3), scalar(4)]),
    Case("Pad", IMAGE, 18, [ints(1, 2, 3, 4), scalar(0.5), ints(3, -2)]),
    Case("Pad", IMAGE, 11, [ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "edge"}),
    # slicing
    Case("Slice", IMAGE, 7, attributes={"starts": [1, -5], "ends": [3, 100], "axes": [1, 3]}),
    Case("Slice", IMAGE, 9, attributes={"starts": [0, 1], "ends": [1, -1]}),
    Case("Slice", IMAGE, 10, [ints(-7, 0), ints(-1, 1000), ints(2, 3), ints(2, 3)]),
    Case("Slice", IMAGE, 13, [ints(1), ints(2**62), ints(-1)]),
    # what the newer exporter of PyTorch writes
    Case("ReduceMean", IMAGE, 18, [ints(-1, -2)], {"keepdims": 1, "noop_with_empty_axes": 0}),
    Case("ReduceMax", IMAGE, 20, [ints(1)], {"keepdims": 0, "noop_with_empty_axes": 1}),
    Case("ReduceSum", IMAGE, 13, [ints(2, 3)], {"noop_with_empty_axes": 0}),
    Case("Split", (2, 7, 3), 7, attributes={"axis": 1, "split": [2, 4, 1]}, outputs=3),
    Case("Split", (2, 6, 3), 11, attributes={"axis": -2}, outputs=2),
    Case("Split", (2, 7, 3), 13, [ints(3, 4)], {"axis": 1}, outputs=2),
    Case("Split", (2, 7, 3), 18, attributes={"axis": 1, "num_outputs": 3}, outputs=3),
    Case("Gather", (2, 7, 3), 11, [np.array(4)], {"axis": 1}),
    Case("Gather", (2, 7, 3), 11, [ints(1, 3, 5)], {"axis": 1}),
    Case("Gather", (2, 7, 3), 13, [np.array([[-2, -1]])], {"axis": -2}),
    Case("GatherND", (7, 2, 3), 13, [ints(3, 0, -1).reshape(3, 1)]),
    Case("GatherND", (7, 2), 13, [ints(3, 0, 5, 5).reshape(2, 2, 1)]),
    # pieces that do not ascend in equal steps
    Case("Gather", (2, 7, 3), 11, [ints(2, 1, 0)], {"axis": 2}),
    Case("Gather", (2, 7, 3), 13, [ints(0, 2, 5, 5, 6, 0, 1)], {"axis": 1}),
    Case("Gather", (2, 7, 3), 13, [np.array([[3, 3], [-1, 0]])], {"axis": 1}),
    Case("Slice", IMAGE, 10, [ints(-1), ints(-1000), ints(3), ints(-1)]),
    Case("Slice", IMAGE, 13, [ints(2, 7, 5), ints(-100, 0, 4), ints(1, 2, 3), ints(-1, -2, -1)]),
    # softmax before 13 works on two flattened dimensions
    Case("Softmax", (2, 3, 4), 7),
    Case("Softmax", (2, 3, 4), 11, attributes={"axis": 0}),
    Case("Softmax", (2, 3, 1, 1), 11, attributes={"axis": 1}),
    Case("Softmax", (2, 3, 4), 12, attributes={"axis": -1}),
    Case("LogSoftmax", (2, 3, 4), 12, attributes={"axis": 1}),
    Case("Softmax", (2, 3, 4), 13, attributes={"axis": 1}),
    # normalisation and dropout
    Case("BatchNormalization", IMAGE, 7,
         [weights(3), weights(3), weights(3), np.abs(weights(3))], {"epsilon": 0.01}),
    Case("BatchNormalization", (4, 3), 9,
         [weights(3), weights(3), weights(3), np.abs(weights(3))]),
    Case("BatchNormalization", (4, 3, 5), 15,
         [weights(3), weights(3), weights(3), np.abs(weights(3))]),
    Case("LRN", (2, 9, 4, 3), 13, attributes={"size": 5, "alpha": 0.9, "beta": 0.6, "bias": 2.0}),
    Case("LRN", (1, 3, 4, 3), 7, attributes={"size": 7, "alpha": 1.5}),
    Case("LpNormalization", (2, 5, 4), 7, attributes={"axis": 1}),
    Case("LpNormalization", (2, 5, 4), 13),
    Case("LpNormalization", (2, 5, 4), 13, attributes={"axis": 0}),
    Case("LpNormalization", (7,), 13),
    Case("LpNormalization", (2, 5, 4), 13, attributes={"axis": -1, "p": 1}),
    Case("InstanceNormalization", IMAGE, 7, [weights(3), weights(3)], {"epsilon": 0.01}),
    Case("InstanceNormalization", (2, 3, 7), 13, [weights(3), weights(3)]),
    Case("ReverseSequence", (4, 2, 3), 10, [ints(4, 4)]),
    Case("ReverseSequence", (2, 4, 3), 10, [ints(4, 4)], {"batch_axis": 0, "time_axis": 1}),
    # reductions
    Case("ReduceMean", IMAGE, 7, attributes={"axes": [2, -1], "keepdims": 0}),
    Case("ReduceMax", IMAGE, 11, attributes={"axes": [1]}),
    Case("ReduceSum", IMAGE, 13, [ints(3, 1)]),
    Case("ReduceL2", IMAGE, 18, [ints(1)], {"keepdims": 0}),
    Case("ReduceMean", IMAGE, 17, attributes={"keepdims": 0}),
    # matrices
    Case("Gemm", (5, 4), 7, [weights(4, 3), weights(3)], {"alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (4, 5), 9, [weights(3, 4), weights(5, 1)], {"transA": 1, "transB": 1}),
    Case("Gemm", (5, 4), 11, [weights(4, 3)]),
    Case("Gemm", (5, 4), 11, [weights(4, 3), weights(5, 3)], {"beta": 0.5}),
    Case("Gemm", (5, 4), 13, [weights(4, 3), scalar(0.25)]),
    Case("MatMul", (2, 5, 4), 9, [weights(4, 3)]),
    Case("MatMul", (5, 4), 9, [weights(4)]),
    Case("MatMul", (4,), 9, [weights(4, 3)]),
    Case("MatMul", (2, 5, 4), 9, [weights(2, 4, 3)]),
    Case("MatMul", (5, 4), 9, [weights(1, 4, 3)]),
    # convolutions
    Case("Conv", IMAGE, 7, [weights(6, 3, 3, 3), weights(6)],
         {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("Conv", IMAGE, 7, [weights(6, 3, 4, 2)], {"auto_pad": "SAME_LOWER"}),
    Case("Conv", IMAGE, 11, [weights(6, 1, 3, 3)], {"group": 3, "auto_pad": "VALID"}),
    Case("Conv", IMAGE, 11, [weights(2, 3, 3, 2)],
         {"pads": [0, 1, 2, 1], "dilations": [2, 3], "kernel_shape": [3, 2]}),
    Case("Conv", (2, 3, 11), 11, [weights(4, 3, 3), weights(4)],
         {"pads": [2, 1], "strides": [2], "dilations": [2]}),
    Case("ConvTranspose", IMAGE, 7, [weights(3, 2, 3, 3), weights(2)],
         {"strides": [2, 3], "output_padding": [1, 2], "pads": [1, 0, 1, 2]}),
    Case("ConvTranspose", IMAGE, 11, [weights(3, 2, 3, 3)],
         {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("ConvTranspose", IMAGE, 11, [weights(3, 2, 3, 3)],
         {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    Case("ConvTranspose", IMAGE, 11, [weights(3, 2, 3, 3)],
         {"strides": [2, 2], "output_shape": [18, 16]}),
    Case("ConvTranspose", (2, 4, 7), 11, [weights(4, 3, 3)],
         {"strides": [2], "pads": [1, 0], "group": 2}),
    # pools
    Case("MaxPool", IMAGE, 7, attributes={"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
    Case("MaxPool", IMAGE, 10, attributes={"kernel_shape": [3, 2], "strides": [2, 2],
                                           "ceil_mode": 1, "dilations": [2, 1]}),
    Case("MaxPool", (1, 2, 9), 12, attributes={"kernel_shape": [4], "strides": [3],
                                               "ceil_mode": 1, "pads": [1, 1]}),
    Case("AveragePool", IMAGE, 7, attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1],
                                              "strides": [2, 2], "count_include_pad": 1}),
    Case("AveragePool", IMAGE, 10, attributes={"kernel_shape": [3, 3], "strides": [2, 2],
                                               "ceil_mode": 1}),
    Case("AveragePool", IMAGE, 11, attributes={"kernel_shape": [2, 2], "pads": [0, 0, 1, 1],
                                               "auto_pad": "NOTSET"}),
    Case("AveragePool", (1, 2, 9), 11, attributes={"kernel_shape": [2], "strides": [2]}),
    Case("GlobalAveragePool", (2, 3, 7), 7),
    Case("GlobalMaxPool", (2, 3, 7, 5), 7),
    Case("GlobalAveragePool", (2, 3, 4, 5, 6), 7),
    # resizing
    Case("Upsample", IMAGE, 7, attributes={"scales": [1.0, 1.0, 2.0, 3.0]}),
    Case("Upsample", IMAGE, 9, [floats(1, 1, 1.5, 2)], {"mode": "nearest"}),
    Case("Upsample", IMAGE, 9, [floats(1, 1, 2, 2)], {"mode": "linear"}),
    # 33 rows and 27 columns in fp32, 32 and 26 in fp64
    Case("Upsample", (1, 3, 20, 20), 9, [floats(1, 1, 1.65, 1.35)], {"mode": "nearest"}),
    Case("Resize", (1, 3, 20, 20), 13, [None, floats(1, 1, 1.65, 1.35)], {"mode": "linear"}),
    Case("Resize", IMAGE, 10, [floats(1, 1, 2, 2)], {"mode": "linear"}),
    Case("Resize", IMAGE, 10, [floats(1, 1, 0.5, 0.6)]),
    Case("Resize", IMAGE, 10, [floats(1, 1, 1.7, 1.3)]),
    *(
        Case("Resize", IMAGE, 11, [floats(), floats(), ints(1, 3, 13, 20)],
             {"coordinate_transformation_mode": c, "nearest_mode": n, "mode": "nearest"})
        for c in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    *(
        Case("Resize", IMAGE, 13, [None, floats(1, 1, 2.5, 0.5)],
             {"coordinate_transformation_mode": c, "mode": "linear"})
        for c in ("half_pixel", "pytorch_half_pixel", "asymmetric")
    ),
    Case("Resize", IMAGE, 11, [floats(), floats(), ints(1, 3, 13, 20)],
         {"coordinate_transformation_mode": "align_corners", "mode": "linear"}),
    Case("Resize", IMAGE, 18, [None, None, ints(20, 3)], {"axes": [3, 2], "mode": "linear"}),
    Case("Resize", IMAGE, 19, [None, floats(2, 2)], {"axes": [2, 3]}),
    *(
        Case("Resize", shape, 13, [None, None, ints(*shape[:2], *size)],
             {"coordinate_transformation_mode": c, "mode": "cubic", "cubic_coeff_a": a,
              "exclude_outside": e})
        for shape, size, c, a, e in (
            (IMAGE, (13, 20), "half_pixel", -0.75, 0),
            (IMAGE, (4, 5), "half_pixel", -0.5, 1),
            (IMAGE, (18, 24), "asymmetric", -0.75, 1),
            (IMAGE, (17, 15), "align_corners", -0.75, 0),
            (IMAGE, (1, 1), "pytorch_half_pixel", -0.75, 0),
        )
    ),
    # sums of products
    Case("Einsum", (2, 3, 4), 12, [weights(2, 4, 5)], {"equation": "bij,bjk->bik"}),
    Case("Einsum", (2, 3, 4), 12, [weights(4, 5)], {"equation": "bij, jk -> bik"}),
    Case("Einsum", (2, 3, 4, 5), 12, [weights(2, 6, 4, 5)], {"equation": "bhid,bjid->bhji"}),
    Case("Einsum", (2, 3, 4, 5), 13, [weights(2, 3, 6, 5)], {"equation": "bhqd,bhkd->bhqk"}),
    Case("Einsum", (2, 3, 4, 5), 13, [weights(5, 4)], {"equation": "...qd,dk->...kq"}),
    Case("Einsum", (2, 3, 4), 12, [weights(2, 5)], {"equation": "bij,bk->bikj"}),
    Case("Einsum", (2, 3, 4), 12, [weights(4)], {"equation": "bij,j->ib"}),
    Case("Einsum", (2, 3, 4), 12, [weights(3, 7)], {"equation": "bij,ik"}),
    Case("Einsum", (2, 3, 4), 12, attributes={"equation": "bij->jb"}),
    Case("Einsum", (2, 3, 4), 12, attributes={"equation": "bij->"}),
    # one sequence after the other
    *(
        Case(op, (5, 2, 3), opset,
             [weights(dirs, gates * 4, 3), weights(dirs, gates * 4, 4), *more],
             {"hidden_size": 4, **attributes}, outputs=outputs)
        for op, gates, opset, dirs, more, attributes, outputs in (
            ("LSTM", 4, 7, 1, [], {}, 3),
            ("LSTM", 4, 11, 2, [weights(2, 32)], {"direction": "bidirectional"}, 3),
            ("LSTM", 4, 14, 1, [weights(1, 32), None, weights(1, 2, 4), weights(1, 2, 4)],
             {"direction": "reverse"}, 2),
            ("LSTM", 4, 14, 1, [weights(1, 32), np.array([5, 5], np.int32), np.zeros((1, 2, 4),
             np.float32)], {"activations": ["Sigmoid", "Tanh", "Tanh"]}, 1),
            ("GRU", 3, 7, 1, [], {}, 2),
            ("GRU", 3, 14, 2, [weights(2, 24), None, weights(2, 2, 4)],
             {"direction": "bidirectional", "linear_before_reset": 1}, 2),
            ("GRU", 3, 22, 1, [weights(1, 24)], {"direction": "reverse"}, 2),
        )
    ),
    # normalisation
    Case("LayerNormalization", (2, 3, 4), 17, [weights(4)], {"axis": -1}),
    Case("LayerNormalization", (2, 3, 4), 17, [weights(3, 4), weights(3, 4)], {"axis": 1}),
    Case("LayerNormalization", (2, 3, 4), 17, [weights(1), weights(3, 1)], {"axis": -2}),
    Case("GroupNormalization", (2, 6, 4, 3), 21, [weights(6), weights(6)], {"num_groups": 3}),
    Case("GroupNormalization", (2, 6, 4), 18, [weights(3), weights(3)], {"num_groups": 3}),
    Case("MeanVarianceNormalization", IMAGE, 13, attributes={"axes": [1]}),
    # of data
    Case("CumSum", (2, 5, 3), 11, [np.array([1])], {"reverse": 1}),
    Case("CumSum", (2, 5, 3), 14, [np.array([-1])], {"exclusive": 1}),
    Case("Trilu", (2, 5, 3), 14, [np.array(1)], {"upper": 0}),
    Case("Trilu", (5, 6), 14, [np.array(-1)]),
    Case("Pad", IMAGE, 19, [ints(0, 0, 2, 0, 0, 1, 10, 3)], {"mode": "wrap"}),
    Case("GatherND", (7, 5, 3), 13, [np.stack(np.meshgrid([1, 6, -1], [0, 2], indexing="ij"), -1)]),
    Case("AveragePool", (1, 1, 7, 4, 3), 11, attributes={"kernel_shape": [3, 1, 1],
                                                         "strides": [2, 1, 1]}),
    Case("ReduceLogSumExp", (2, 3, 4), 18, [ints(1)], {"keepdims": 0}),
    Case("ReduceL1", (2, 3, 4), 13, attributes={"axes": [0, 2]}),
    # element-wise
    Case("PRelu", IMAGE, 7, [weights(3, 1, 1)]),
    Case("PRelu", IMAGE, 9, [weights(1)]),
    Case("PRelu", IMAGE, 9, [weights(8)]),
    Case("Pow", (2, 3), 7, [scalar(2)]),
    Case("Sub", IMAGE, 7, [weights(3, 1, 1)]),
    Case("Div", IMAGE, 7, [weights(8) + 3]),
    Case("Max", IMAGE, 8, [scalar(0.1), weights(8)]),
    Case("Sum", IMAGE, 8, [weights(1, 3, 1, 1), weights(8)]),
    Case("Mean", IMAGE, 8, [weights(1, 3, 1, 1), weights(8)]),
    Case("Selu", IMAGE, 7, attributes={"alpha": 1.2}),
    Case("HardSigmoid", IMAGE, 7, attributes={"alpha": 0.3}),
    # shapes
    Case("Flatten", (2, 3, 4), 7, attributes={"axis": 0}),
    Case("Flatten", (2, 3, 4), 11, attributes={"axis": -1}),
    Case("Reshape", (2, 3, 4), 7, [ints(0, -1)]),
    Case("Reshape", (2, 3, 4), 13, [ints(4, 0, -1)]),
    Case("Transpose", (2, 3, 4), 7),
    Case("Tile", (2, 3), 7, [ints(2, 3)]),
    Case("Expand", (3, 1), 8, [ints(2, 1, 4)]),
    Case("DepthToSpace", (1, 8, 2, 3), 7, attributes={"blocksize": 2}),
    Case("DepthToSpace", (1, 8, 2, 3), 11, attributes={"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", (1, 2, 4, 6), 7, attributes={"blocksize": 2}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, build: Build) -> None:
    path = build_case(case, build)
    x = weights(*case.shape)
    graph = OnnxFrontend().load(path)
    got = evaluate(graph, {"x": x})
    sources = {graph[name].source: name for name in graph.outputs}
    want = OnnxFrontend().reference(path, {"x": x}, tensors=list(sources))
    assert len(sources) == case.outputs
    for tensor, layer in sources.items():
        assert got[layer].shape == want[tensor].shape
        np.testing.assert_allclose(got[layer], want[tensor], rtol=1e-4, atol=1e-5)


def build_case(case: Case, build: Build) -> Path:
    names = [f"c{i}" if c is not None else "" for i, c in enumerate(case.constants)]
    constants = {n: c for n, c in zip(names, case.constants, strict=True) if c is not None}
    outputs = [f"y{i}" for i in range(case.outputs)]
    one = node(case.op, ["x", *names], outputs, **case.attributes)
    return build([one], {"x": case.shape}, outputs, constants, opset=case.opset)


UNPOOLS = [
    # shape, pool's attributes, size of the unpooled result (None: worked out)
    ((2, 3, 4, 6), {"kernel_shape": [2, 2], "strides": [2, 2]}, None),
    ((1, 3, 6, 8), {"kernel_shape": [3, 4], "strides": [3, 4]}, None),
    ((1, 3, 5, 7), {"kernel_shape": [2, 2], "strides": [2, 2]}, (1, 3, 5, 7)),
]


def unpool(shape: tuple[int, ...], size: tuple[int, ...] | None, build: Build, **pool: Any) -> Path:
    windows = {k: v for k, v in pool.items() if k in ("kernel_shape", "strides", "pads")}
    nodes = [
        node("MaxPool", ["x"], ["p", "i"], **pool),
        node("Neg", ["p"], ["v"]),
        node("MaxUnpool", ["v", "i", *(["s"] if size else [])], ["y0"], **windows),
    ]
    return build(nodes, {"x": shape}, ["y0"], {"s": ints(*size)} if size else {}, opset=11)


@pytest.mark.parametrize(("shape", "pool", "size"), UNPOOLS)
def test_unpooling_puts_values_where_the_maxima_were(
    shape: tuple[int, ...], pool: dict[str, Any], size: tuple[int, ...] | None, build: Build
) -> None:
    path = unpool(shape, size, build, **pool)
    x = RNG.integers(-2, 3, shape).astype(np.float32)  # many ties
    graph = OnnxFrontend().load(path)
    (layer,) = graph.outputs
    want = OnnxFrontend().reference(path, {"x": x}, tensors=["y0"])["y0"]
    np.testing.assert_array_equal(evaluate(graph, {"x": x})[layer], want)


@pytest.mark.parametrize(
    ("shape", "pool", "size", "why"),
    [
        ((1, 1, 6, 6), {"kernel_shape": [3, 3], "strides": [2, 2]}, None, "windows overlap"),
        ((1, 1, 6, 6), {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}, None,
         "are padded"),
        ((1, 1, 5, 5), {"kernel_shape": [2, 2], "strides": [2, 2]}, None, "not the size of"),
        ((1, 1, 6, 6), {"kernel_shape": [2, 2], "strides": [2, 2], "storage_order": 1}, None,
         "not 2-D"),
    ],
)  # fmt: skip
def test_other_unpooling_is_refused(
    shape: tuple[int, ...], pool: dict[str, Any], size: None, why: str, build: Build
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        OnnxFrontend().load(unpool(shape, size, build, **pool))
    assert why in caught.value.problems[0]


def test_sequences_shorter_than_their_axis_are_refused(build: Build) -> None:
    case = Case("ReverseSequence", (4, 2, 3), 10, [ints(4, 3)])
    with pytest.raises(UnsupportedError) as caught:
        OnnxFrontend().load(build_case(case, build))
    assert "shorter than the 4 elements" in caught.value.problems[0]


def test_every_old_opset_is_read(build: Build) -> None:
    for opset in range(7, 29):
        relu = [node("Relu", ["x"], ["y"])]
        graph = OnnxFrontend().load(build(relu, {"x": (1, 2)}, ["y"], opset=opset))
        assert [op.kind for op in graph] == ["Input", "Relu"]


def test_gathers_of_very_many_pieces_are_refused(build: Build) -> None:
    order = np.repeat(np.arange(300), 3)
    one = [node("Gather", ["x", "i"], ["y"], axis=1)]
    path = build(one, {"x": (1, 300)}, ["y"], {"i": order}, opset=13)
    with pytest.raises(UnsupportedError) as caught:
        OnnxFrontend().load(path)
    assert "into 601 pieces; at most 512" in caught.value.problems[0]
