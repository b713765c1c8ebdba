"""The CPU functions of the vendor's runtime (FACTS_CVIMODEL 6), by name.

One module per family. Where the vendor's function has a fault, ours has it too: boards do
what the vendor's runtime does. What depends on memory that nobody wrote is refused, or
defined as zero where the docstring says so.
"""

from cvi_tpu.runtime.functions import (  # noqa: F401  importing registers the functions
    argmax,
    convert,
    deform,
    gather,
    grid,
    interp,
    movement,
    normalise,
    proposal,
    rcnn,
    reduce,
    retinaface,
    ssd,
    topk,
    yolo,
)
from cvi_tpu.runtime.functions.call import Call, Operand
from cvi_tpu.runtime.functions.registry import CpuFunction, cpu_function, find_cpu_function

__all__ = ["Call", "CpuFunction", "Operand", "cpu_function", "find_cpu_function"]
