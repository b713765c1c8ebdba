"""Running a file at a path: what the runner "simulator" does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cvi.errors import CviError
from cvi.ir.types import Array
from cvi_tpu.model.file import read_file
from cvi_tpu.runtime.runtime import Runtime


def run_file(
    path: Path,
    inputs: Mapping[str, Array],
    *,
    program: int = 0,
    all_tensors: bool = False,
    timeout: float = 600.0,
) -> dict[str, Array]:
    """See `cvi.hookspecs.Runner.run`; errors name the file."""
    model = read_file(path)
    try:
        runtime = Runtime(model)
        return runtime.run(inputs, program=program, all_tensors=all_tensors, timeout=timeout)
    except CviError as error:
        error.where = f"{path}{': ' if error.where else ''}{error.where}"
        raise
