"""Runs a program file: memory, CPU functions, and the simulator for the TPU parts."""

from cvi_tpu.runtime.cpu import cpu_function
from cvi_tpu.runtime.runtime import Runtime

__all__ = ["Runtime", "cpu_function"]
