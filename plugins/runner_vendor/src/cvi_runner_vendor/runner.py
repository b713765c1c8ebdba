"""The runner "vendor": a program file on the vendor's runtime and simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvi.ir.types import Array


class VendorRunner:
    """Runs a file in a child process; see `cvi.hookspecs.Runner`."""

    name = "vendor"

    def run(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        program: int = 0,
        all_tensors: bool = False,
        timeout: float = 600.0,
    ) -> dict[str, Array]:
        """Outputs (or all tensors) by name; RunnerError when the runtime fails."""
        from cvi_runner_vendor.session import Session

        with Session(path, program=program, all_tensors=all_tensors, timeout=timeout) as session:
            return session.run(inputs)
