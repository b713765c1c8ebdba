"""Which layer is computed in which precision, and the vendor's table of it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from cvi.errors import InputError
from cvi.files import atomic_write_bytes
from cvi.ir import Graph


class Precision(str, Enum):
    """How a layer computes.

    INT8: integers with one scale per tensor. BF16: bfloat16. MIX_BF16: bfloat16
    activations with int8 weights.
    """

    INT8 = "INT8"
    BF16 = "BF16"
    MIX_BF16 = "MIX_BF16"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of_scheme(cls, name: str) -> Precision:
        """The precision of layers that no plan names: INT8 unless the scheme is called after
        another."""
        return cls.__members__.get(name.upper(), cls.INT8)


@dataclass(frozen=True)
class PrecisionPlan:
    """The precision of every layer: `default` except for those in `layers`. Of a mixed network
    layers that are no matter of precision may follow their neighbours (`cvi.ops.followers`).

    Layers given with the default precision are left out, so that equal plans compare
    equal.
    """

    default: Precision = Precision.INT8
    layers: Mapping[str, Precision] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        others = {name: mode for name, mode in self.layers.items() if mode is not self.default}
        object.__setattr__(self, "layers", MappingProxyType(others))

    def mode(self, name: str) -> Precision:
        """The precision of one layer."""
        return self.layers.get(name, self.default)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        graph: Graph,
        default: Precision = Precision.INT8,
    ) -> PrecisionPlan:
        """The plan of a mix table (FACTS_TOOLCHAIN 7.1).

        Lines are `name` (BF16) or `name MODE`, `#` begins a comment line. InputError
        when the file cannot be read, a line contradicts another, or a layer is unknown.
        """
        layers: dict[str, Precision] = {}
        for where, name, mode in _entries(Path(path)):
            _check_known(name, graph, where)
            if layers.setdefault(name, mode) is not mode:
                raise InputError(f"{name} is also given as {layers[name]}", where=where)
        return cls(default, layers)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the mix table: a bare name stands for BF16, as in the vendor's files.

        InputError when a layer's name would not be read back.
        """
        for name in self.layers:
            if name.startswith("#") or name.strip() != name or name.splitlines() != [name]:
                raise InputError("this name does not fit into a mix table", where=repr(name))
        lines = [
            name if mode is Precision.BF16 and not name.split()[1:] else f"{name} {mode}"
            for name, mode in self.layers.items()
        ]
        atomic_write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def _entries(path: Path) -> Iterator[tuple[str, str, Precision]]:
    """Where, name and mode of every entry of a mix table."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("is not a text file", where=str(path)) from error
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            name, mode = _split(entry)
            yield f"{path}, line {number}", name, mode


def _split(entry: str) -> tuple[str, Precision]:
    """`name MODE` or `name`; layer names may contain blanks."""
    name, _, last = entry.replace("\t", " ").rpartition(" ")
    if name and last.upper() in Precision.__members__:
        return name.strip(), Precision[last.upper()]
    return entry, Precision.BF16


def _check_known(name: str, graph: Graph, where: str) -> None:
    if graph.get(name) is not None:
        return
    names = [op.name for op in graph.ops]
    first, _, last = name.rpartition(" ")
    if first and graph.get(first.strip()) is not None:
        modes = ", ".join(Precision.__members__)
        raise InputError(f"{last!r} is no precision", where=where, fix=f"use one of {modes}")
    near = difflib.get_close_matches(name, names, n=3)
    raise InputError(
        f"the network has no layer {name!r}",
        where=where,
        fix=f"did you mean {', '.join(near)}?" if near else "the table is of another network",
    )
