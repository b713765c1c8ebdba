"""The kernels: importing this package registers how every quantised op is lowered."""

from cvi_tpu.codegen.kernels import (
    bf16_eltwise,
    bf16_tables,
    casts,
    conv,
    eltwise,
    fp32_sums,
    matmul,
    movement,
    pool,
    pool_mask,
    reverse,
)

__all__ = [
    "bf16_eltwise", "bf16_tables", "casts", "conv", "eltwise", "fp32_sums", "matmul",
    "movement", "pool", "pool_mask", "reverse",
]  # fmt: skip
