"""The quantised ops. Integers in, integers out; scales only describe their meaning.

QDM(acc, m, s) is the requantisation of FACTS_TPU 3.3: h = floor((acc*m + 2^30) / 2^31),
then |h| shifted right by s with rounding half away from zero. All results saturate to
[-128, 127]. Movement ops (`cvi.ops.movement`) serve integer tensors unchanged.
`evaluate` is the hardware's arithmetic to the bit.
"""

from cvi_tpu.quantized.ops.base import Int8Op, Pads, Pair
from cvi_tpu.quantized.ops.conv import Int8Conv2d
from cvi_tpu.quantized.ops.cpu import CpuFunction, CpuSoftmax
from cvi_tpu.quantized.ops.eltwise import Int8Add, Int8Eltwise, Int8Max, Int8Min, Int8Mul
from cvi_tpu.quantized.ops.matmul import Int8MatMul
from cvi_tpu.quantized.ops.pool import Int8AvgPool2d, Int8MaxPool2d, Int8PoolMask
from cvi_tpu.quantized.ops.unary import Dequantize, Int8Clip, Int8Lut, Int8Requant, Quantize

__all__ = [
    "CpuFunction", "CpuSoftmax", "Dequantize", "Int8Add", "Int8AvgPool2d", "Int8Clip",
    "Int8Conv2d", "Int8Eltwise", "Int8Lut", "Int8MatMul", "Int8Max", "Int8MaxPool2d", "Int8Min",
    "Int8Mul", "Int8Op", "Int8PoolMask", "Int8Requant", "Pads", "Pair", "Quantize",
]  # fmt: skip
