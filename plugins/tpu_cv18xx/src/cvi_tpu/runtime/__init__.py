"""Runs a program file: memory, CPU functions, and the simulator for the TPU parts."""

from cvi_tpu.runtime.functions import Call, Operand, cpu_function
from cvi_tpu.runtime.runtime import Runtime

__all__ = ["Call", "Operand", "Runtime", "cpu_function"]
