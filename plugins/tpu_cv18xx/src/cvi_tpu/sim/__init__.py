"""The simulator: executes decoded instructions on local memory and DRAM, bit by bit.

It shares no arithmetic with the quantised ops of `cvi_tpu.quantized`, so that their
agreement means something.
"""

from cvi_tpu.sim.machine import Machine
from cvi_tpu.sim.memory import LocalMemory, Regions
from cvi_tpu.sim.schedule import Schedule, execute

__all__ = ["LocalMemory", "Machine", "Regions", "Schedule", "execute"]
