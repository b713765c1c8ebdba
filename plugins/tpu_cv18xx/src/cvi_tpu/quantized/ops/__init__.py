"""The quantised ops.

INT8: integers in, integers out; scales only describe their meaning. BF16: patterns in,
patterns out; sums in fp32, their order fixed by the op.

QDM(acc, m, s) is the requantisation of FACTS_TPU 3.3: h = floor((acc*m + 2^30) / 2^31),
then |h| shifted right by s with rounding half away from zero. All results saturate to
[-128, 127]. Movement ops (`cvi.ops.movement`) serve integer tensors unchanged.
`evaluate` is the hardware's arithmetic to the bit.
"""

from cvi_tpu.quantized.ops.base import Int8Op, Pads, Pair
from cvi_tpu.quantized.ops.bf16_base import Bf16Op
from cvi_tpu.quantized.ops.bf16_casts import (
    Bf16FromFp32,
    Bf16FromInt8,
    Fp32FromBf16,
    Int8FromBf16,
)
from cvi_tpu.quantized.ops.bf16_conv import Bf16Conv2d
from cvi_tpu.quantized.ops.bf16_eltwise import (
    Bf16Add,
    Bf16AddConstant,
    Bf16Constant,
    Bf16Eltwise,
    Bf16Max,
    Bf16MaxConstant,
    Bf16Min,
    Bf16MinConstant,
    Bf16Mul,
    Bf16MulConstant,
    Bf16Sub,
)
from cvi_tpu.quantized.ops.bf16_matmul import Bf16MatMul
from cvi_tpu.quantized.ops.bf16_pool import Bf16AvgPool2d, Bf16MaxPool2d, Bf16PoolMask
from cvi_tpu.quantized.ops.bf16_tables import Bf16Interpolate, Bf16Split, Bf16Table
from cvi_tpu.quantized.ops.conv import Int8Conv2d
from cvi_tpu.quantized.ops.cpu import CpuFunction, CpuSoftmax
from cvi_tpu.quantized.ops.eltwise import Int8Add, Int8Eltwise, Int8Max, Int8Min, Int8Mul
from cvi_tpu.quantized.ops.fp32_sums import Fp32Conv
from cvi_tpu.quantized.ops.matmul import Int8MatMul
from cvi_tpu.quantized.ops.pool import Int8AvgPool2d, Int8MaxPool2d, Int8PoolMask
from cvi_tpu.quantized.ops.unary import Dequantize, Int8Clip, Int8Lut, Int8Requant, Quantize

__all__ = [
    "Bf16Add", "Bf16AddConstant", "Bf16AvgPool2d", "Bf16Constant", "Bf16Conv2d", "Bf16Eltwise",
    "Bf16FromFp32", "Bf16FromInt8", "Bf16Interpolate", "Bf16MatMul", "Bf16Max",
    "Bf16MaxConstant", "Bf16MaxPool2d", "Bf16Min", "Bf16MinConstant", "Bf16Mul",
    "Bf16MulConstant", "Bf16Op", "Bf16PoolMask", "Bf16Split", "Bf16Sub", "Bf16Table",
    "CpuFunction", "CpuSoftmax", "Dequantize", "Fp32Conv", "Fp32FromBf16",
    "Int8Add", "Int8AvgPool2d", "Int8Clip", "Int8Conv2d", "Int8Eltwise", "Int8FromBf16",
    "Int8Lut", "Int8MatMul", "Int8Max", "Int8MaxPool2d", "Int8Min", "Int8Mul", "Int8Op",
    "Int8PoolMask", "Int8Requant", "Pads", "Pair", "Quantize",
]  # fmt: skip
