"""The error of the instruction set."""

from __future__ import annotations

from cvi.errors import CviError


class InstructionError(CviError):
    """An instruction or descriptor that the chip cannot execute, or that makes no sense."""

    def at(self, place: str) -> InstructionError:
        """The same error with `place` in front of where it happened."""
        where = f"{place}: {self.where}" if self.where else place
        return InstructionError(self.why, where=where, fix=self.fix)


def require(ok: bool, why: str, *values: object) -> None:
    """InstructionError(why.format(*values)) unless `ok`; formats only when it fails."""
    if not ok:
        raise InstructionError(why.format(*values))
