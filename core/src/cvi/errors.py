"""The errors a user can meet: each says where, why, and how to mend it.

Anything that a user can cause (a bad file, a wrong option, an unsupported layer)
is raised as a `CviError`. Any other exception that reaches the command line is a
bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable


class CviError(Exception):
    """A problem the user can understand.

    Parameters
    ----------
    why: what is wrong, one sentence.
    where: the file, layer or option it happened at.
    fix: what to do about it.
    """

    exit_code = 1

    def __init__(self, why: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.why}" if self.where else self.why]
        if self.fix:
            parts.append(f"({self.fix})")
        return " ".join(parts)


class InputError(CviError):
    """An option, image or tensor given by the user does not fit."""

    exit_code = 2


class ModelError(CviError):
    """A model file is broken or is not what it claims to be."""


class UnsupportedError(CviError):
    """Something that is valid but that we, or the chip, cannot do.

    `problems` lists every unsupported place, so that all are shown at once; `outputs` the
    tensors of the model before them, at which the network could end.
    """

    def __init__(
        self,
        why: str,
        *,
        where: str = "",
        fix: str = "",
        problems: Iterable[str] = (),
        outputs: Iterable[str] = (),
    ) -> None:
        super().__init__(why, where=where, fix=fix)
        self.problems = tuple(problems)
        self.outputs = tuple(outputs)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {p}" for p in self.problems)])


class VerificationError(CviError):
    """A comparison failed: a result exists but it is not good enough."""

    exit_code = 3


class PluginError(CviError):
    """A plugin is missing, broken, or clashes with another one."""


class RunnerError(CviError):
    """A runner could not execute a program file."""
