"""What a converter of any framework can say of the op before it."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from cvi.errors import ModelError, UnsupportedError


class Converted:
    """Base of an op of a framework as its converter sees it.

    where: the op as the user should read it in an error. tensor: what the framework calls
    a tensor.
    """

    where: str
    tensor: ClassVar[str] = "tensor"

    def refuse(self, reason: str) -> NoReturn:
        """Say why this valid op cannot be imported."""
        raise UnsupportedError(reason, where=self.where)

    def broken(self, reason: str) -> NoReturn:
        """Say why this op is not valid."""
        raise ModelError(reason, where=self.where)

    def axis(self, value: int, rank: int) -> int:
        """A possibly negative axis as a non-negative one."""
        if not -rank <= value < rank:
            self.broken(f"axis {value} of a {self.tensor} of {rank} dimensions")
        return value % rank
