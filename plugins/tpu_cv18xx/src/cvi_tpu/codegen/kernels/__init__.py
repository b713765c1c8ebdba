"""The kernels: importing this package registers how every quantised op is lowered."""

from cvi_tpu.codegen.kernels import conv, eltwise, matmul, movement, pool, pool_mask, reverse

__all__ = ["conv", "eltwise", "matmul", "movement", "pool", "pool_mask", "reverse"]
