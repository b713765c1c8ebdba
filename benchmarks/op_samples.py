"""A small graph around every float op, for pages and tests that speak of all ops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cvi import ops as o
from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.ir import Array, DType, Graph, Input, Op, Shape, TensorType

IMAGE = (1, 8, 12, 10)


@dataclass(frozen=True)
class Sample:
    """An op with the shapes of its computed operands and of its constants, in order.

    constants: shapes of random ones, or arrays. dtypes: element types of inputs that are not
    fp32. before: what the first operand goes through. variant: which kind of the op.
    """

    op: Op
    inputs: tuple[Shape, ...] = (IMAGE,)
    constants: tuple[Shape | Array, ...] = ()
    before: Op | None = None
    dtypes: Mapping[int, DType] = field(default_factory=dict)
    variant: str = ""

    @property
    def title(self) -> str:
        """The op's kind, and the variant if there are several."""
        return f"{self.op.kind} ({self.variant})" if self.variant else self.op.kind

    def graph(self) -> Graph:
        """The op alone, its operands inputs of the network."""
        graph, rng, names = Graph(self.op.kind), np.random.default_rng(0), []
        for i, shape in enumerate(self.inputs):
            type = TensorType(shape, self.dtypes.get(i, DType.FP32))
            names.append(graph.add(Input(name=f"x{i}", type=type)).name)
        if self.before is not None:
            names[0] = graph.add(self.before.with_(name="before", inputs=(names[0],))).name
        for i, given in enumerate(self.constants):
            random = isinstance(given, tuple)
            array = rng.uniform(0.5, 1.0, given) if random else given
            names.append(graph.constant(f"c{i}", np.asarray(array, np.float32)))
        graph.add(self.op.with_(name="y", inputs=tuple(names)))
        graph.outputs = ("y",)
        return graph


def thresholds(graph: Graph) -> CalibrationTable:
    """A table that gives every layer the threshold 1."""
    return CalibrationTable({op.name: Threshold(1.0, 0.1, 1.0) for op in graph.ops})


def _one(op: Op) -> Sample:
    return Sample(op)


def _two(op: Op) -> Sample:
    return Sample(op, (IMAGE, IMAGE))


_UNARY = (
    o.Relu, o.Sigmoid, o.Tanh, o.Exp, o.Log, o.Sqrt, o.Reciprocal, o.Abs, o.Neg, o.Erf, o.Gelu,
    o.Softplus, o.Mish, o.Swish, o.HardSwish,
)  # fmt: skip

_FACE_MAPS = tuple((1, c, s, s) for s in (2, 4, 8) for c in (4, 8, 20))
_FACES = o.RetinaFaceDetection(name="", nms_threshold=0.4, confidence_threshold=0.5, keep_top_k=10)
_POOL = o.RoiPooling(name="", pooled=(2, 2), spatial_scale=1 / 16)


def _ssd(code_type: str = "center_size") -> Sample:
    op = o.DetectionOutput(
        name="", num_classes=3, code_type=code_type, nms_threshold=0.45, keep_top_k=10
    )
    boxes = np.tile([0.25, 0.25, 0.75, 0.75], 4)
    priors = np.stack([boxes, np.full(16, 0.1)])[None]
    variant = "" if code_type == "center_size" else code_type
    return Sample(op, ((1, 16), (1, 12)), (priors,), variant=variant)


_DETECTION = (
    _ssd(),
    _ssd("corner"),
    Sample(
        o.YoloDetection(
            name="", net_size=(64, 64), classes=3, nms_threshold=0.5, obj_threshold=0.5,
            keep_top_k=10,
        ),
        ((1, 24, 2, 2), (1, 24, 4, 4), (1, 24, 8, 8)),
    ),
    Sample(_FACES.with_(nms_threshold=1.0), _FACE_MAPS, variant="without suppression"),
    Sample(_FACES, _FACE_MAPS, variant="with suppression"),
    Sample(
        o.Proposal(
            name="", net_size=(64, 64), obj_threshold=0.5, nms_threshold=0.7, post_nms_top_n=8
        ),
        ((1, 18, 4, 4), (1, 36, 4, 4)),
    ),
    Sample(
        o.FrcnDetection(
            name="", class_num=3, obj_threshold=0.5, nms_threshold=0.5, keep_top_k=10
        ),
        ((8, 12), (8, 3), (1, 1, 8, 5)),
    ),
    Sample(_POOL, (IMAGE, (1, 1, 8, 5)), before=o.Relu(name=""), variant="of a ReLU"),
    Sample(_POOL, (IMAGE, (1, 1, 8, 5)), variant="of any sign"),
)  # fmt: skip

SAMPLES: tuple[Sample, ...] = (
    *_DETECTION,
    Sample(o.Conv2d(name="", pads=(1, 1, 1, 1)), constants=((16, 8, 3, 3), (16,))),
    Sample(
        o.Conv2d(name="", pads=(2, 2, 2, 2), dilation=(2, 2), group=8),
        constants=((8, 1, 3, 3), (8,)),
        variant="depthwise, dilated",
    ),
    Sample(o.ConvTranspose2d(name="", stride=(2, 2)), constants=((8, 4, 2, 2), (4,))),
    Sample(o.FullyConnected(name=""), ((2, 20),), ((10, 20), (10,))),
    Sample(o.MatMul(name=""), ((2, 3, 20), (2, 20, 10))),
    _one(o.ArgMax(name="", axis=1)),
    Sample(o.Embedding(name=""), ((1, 7),), ((30, 8),), dtypes={0: DType.INT32}),
    Sample(o.Scale(name=""), constants=((8,), (8,))),
    Sample(o.BatchNorm(name=""), constants=((8,), (8,), (8,), (8,))),
    _one(o.MaxPool2d(name="", kernel=(2, 2), stride=(2, 2))),
    Sample(o.MaxPool2d(name="", kernel=(2, 2), dilation=(2, 2)), variant="dilated"),
    _one(o.PoolMask(name="", size=(2, 2))),
    _one(o.AvgPool2d(name="", kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1))),
    _two(o.Add(name="")),
    Sample(o.Add(name="", coefficients=(0.5, -2.0)), (IMAGE, IMAGE), variant="weighted"),
    _two(o.Sub(name="")),
    _two(o.Mul(name="")),
    _two(o.Div(name="")),
    _two(o.Max(name="")),
    _two(o.Min(name="")),
    *(_one(kind(name="")) for kind in _UNARY),
    _one(o.LeakyRelu(name="", slope=0.1)),
    Sample(o.PRelu(name=""), constants=((8,),)),
    _one(o.Elementary(name="", which="sin")),
    _one(o.Compare(name="", which="greater")),
    _one(o.Shrink(name="")),
    _one(o.ThresholdedRelu(name="")),
    _one(o.Clip(name="", minimum=-0.5, maximum=0.5)),
    _one(o.Elu(name="")),
    _one(o.HardSigmoid(name="")),
    _one(o.Pow(name="", exponent=2.0)),
    _one(o.Softmax(name="", axis=1)),
    _one(o.Lrn(name="", size=5, alpha=1e-4, beta=0.75)),
    _one(o.SquarePower(name="", exponent=-0.5)),
    Sample(o.Normalize(name=""), constants=((8,),)),
    Sample(o.InstanceNorm(name=""), constants=((8,), (8,))),
    Sample(o.LayerNorm(name="", axis=3), constants=((10,), (10,))),
    Sample(o.Lstm(name="", direction="forward"), ((5, 1, 3),), ((1, 16, 3), (1, 16, 4), (1, 32))),
    Sample(o.Gru(name="", direction="forward"), ((5, 1, 3),), ((1, 12, 3), (1, 12, 4), (1, 24))),
    Sample(o.Softmax(name="", axis=1, log=True), variant="logarithm"),
    *(
        Sample(o.Reduce(name="", method=method, axes=(1, 3)), variant=method)
        for method in ("mean", "sum", "max", "min", "l2")
    ),
    _one(o.Std(name="", axes=(2, 3), correction=1.0)),
    Sample(o.Resize(name="", size=(24, 20), scales=(2.0, 2.0), mode="linear"), variant="linear"),
    Sample(o.Resize(name="", size=(18, 15), scales=(1.5, 1.5)), variant="nearest"),
    _one(o.Upsample(name="", factors=(2, 2))),
    _one(o.Reshape(name="", shape=(1, 960))),
    _one(o.Permute(name="", order=(0, 2, 3, 1))),
    _two(o.Concat(name="")),
    _one(o.Slice(name="", starts=(0, 0, 1, 1), sizes=(1, 8, 5, 4), steps=(1, 1, 2, 2))),
    _one(o.Reverse(name="", axis=3)),
    _one(o.Pad(name="", before=(0, 0, 1, 1), after=(0, 0, 1, 1))),
    _one(o.PixelShuffle(name="", factor=2)),
    _one(o.Tile(name="", repeats=(1, 2, 1, 1))),
)
