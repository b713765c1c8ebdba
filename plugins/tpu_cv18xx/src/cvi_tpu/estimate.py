"""The estimated cycles of a whole program file."""

from __future__ import annotations

from cvi_tpu.chip import ChipSpec
from cvi_tpu.cost import Totals, schedule
from cvi_tpu.isa.stream import parse_cmdbuf
from cvi_tpu.model import CviModelFile


def totals(model: CviModelFile, spec: ChipSpec, program: int = 0) -> Totals:
    """The sum over the TPU routines of one program; the CPU's functions are not counted."""
    found = Totals()
    for routine in model.programs[program].routines:
        if routine.tpu is not None and routine.tpu.cmdbuf is not None:
            data = model.section(routine.tpu.cmdbuf).content()
            found += schedule(parse_cmdbuf(data, spec), spec)
    return found
