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
from cvi.ops.elementwise import Add, Div, Eltwise, Max, Min, Mul, Sub
from cvi.ops.lookup import ArgMax, Embedding
from cvi.ops.movement import (
    Concat,
    Movement,
    Pad,
    Permute,
    PixelShuffle,
    Reshape,
    Slice,
    Tile,
    Upsample,
)
from cvi.ops.norm import BatchNorm, LayerNorm, Scale, Softmax
from cvi.ops.pool import AvgPool2d, MaxPool2d
from cvi.ops.recurrent import Gru, Lstm, Recurrent
from cvi.ops.reduce import Reduce
from cvi.ops.resize import Resize

__all__ = [
    "Abs", "Add", "ArgMax", "AvgPool2d", "BatchNorm", "Clip", "Concat", "Conv2d",
    "ConvTranspose2d", "Div", "Eltwise", "Elu", "Embedding", "Erf", "Exp", "FullyConnected",
    "Gelu", "Gru", "HardSigmoid", "HardSwish", "LayerNorm", "LeakyRelu", "Log", "Lstm", "MatMul",
    "Max", "MaxPool2d", "Min", "Mish", "Movement", "Mul", "Neg", "PRelu", "Pad", "Permute",
    "PixelShuffle", "Pow", "Reciprocal", "Recurrent", "Reduce", "Relu", "Reshape", "Resize",
    "Scale", "Sigmoid", "Slice", "Softmax", "Softplus", "Sqrt", "Sub", "Swish", "Tanh", "Tile",
    "Unary", "Upsample",
]  # fmt: skip
