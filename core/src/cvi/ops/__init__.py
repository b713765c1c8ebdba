"""The float ops: framework-neutral, NCHW, fp32. One file per family."""

from cvi.ops.activation import (
    Abs,
    Clip,
    Elu,
    Erf,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    Mish,
    Neg,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Sigmoid,
    Softplus,
    Sqrt,
    Swish,
    Tanh,
    Unary,
)
from cvi.ops.conv import Conv2d, ConvTranspose2d, FullyConnected, MatMul
from cvi.ops.detection import (
    Detection,
    DetectionOutput,
    FrcnDetection,
    Proposal,
    RetinaFaceDetection,
    RoiPooling,
    YoloDetection,
)
from cvi.ops.detection import (
    prior_boxes as prior_boxes,
)
from cvi.ops.elementwise import Add, Div, Eltwise, Max, Min, Mul, Sub
from cvi.ops.functions import Compare, Elementary, Shrink, ThresholdedRelu
from cvi.ops.lookup import ArgMax, Embedding
from cvi.ops.movement import (
    Concat,
    Movement,
    Pad,
    Permute,
    PixelShuffle,
    Reshape,
    Reverse,
    Slice,
    Tile,
    Upsample,
)
from cvi.ops.norm import BatchNorm, LayerNorm, Scale, Softmax
from cvi.ops.normalise import InstanceNorm, Lrn, Normalize, SquarePower
from cvi.ops.pool import AvgPool2d, MaxPool2d, PoolMask
from cvi.ops.recurrent import Gru, Lstm, Recurrent
from cvi.ops.reduce import Reduce, Std
from cvi.ops.resize import Resize

__all__ = [
    "Abs", "Add", "ArgMax", "AvgPool2d", "BatchNorm", "Clip", "Compare", "Concat", "Conv2d",
    "ConvTranspose2d", "Detection", "DetectionOutput", "Div", "Elementary", "Eltwise", "Elu",
    "Embedding", "Erf", "Exp", "FrcnDetection", "FullyConnected", "Gelu", "Gru", "HardSigmoid",
    "HardSwish", "InstanceNorm", "LayerNorm", "LeakyRelu", "Log", "Lrn", "Lstm", "MatMul", "Max",
    "MaxPool2d", "Min", "Mish", "Movement", "Mul", "Neg", "Normalize", "PRelu", "Pad", "Permute",
    "PixelShuffle", "PoolMask", "Pow", "Proposal", "Reciprocal", "Recurrent", "Reduce", "Relu",
    "Reshape", "Resize", "RetinaFaceDetection", "Reverse", "RoiPooling", "Scale", "Shrink",
    "Sigmoid", "Slice", "Softmax", "Softplus", "Sqrt", "SquarePower", "Std", "Sub", "Swish", "Tanh",
    "ThresholdedRelu", "Tile", "Unary", "Upsample", "YoloDetection",
]  # fmt: skip
