"""Attributes of one node, read with their types checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cvi.errors import ModelError
from cvi.ir import Array
from cvi_frontend_onnx.tensors import Tensors

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, NodeProto

_TYPES = {"f": 1, "i": 2, "s": 3, "t": 4, "g": 5, "floats": 6, "ints": 7, "strings": 8}
"""Field of AttributeProto -> AttributeProto.AttributeType."""


class Attributes:
    """The attributes of a node; remembers which were asked for.

    An attribute that no converter asks for is a meaning we would ignore, so the
    importer refuses nodes with `unread` attributes.
    """

    def __init__(self, node: NodeProto, tensors: Tensors, where: str) -> None:
        self._tensors = tensors
        self._where = where
        self._protos = {a.name: a for a in node.attribute}
        self._read: set[str] = set()
        if len(self._protos) != len(node.attribute):
            raise ModelError("the node has an attribute twice", where=where)

    def __contains__(self, name: str) -> bool:
        return name in self._protos

    @property
    def unread(self) -> list[str]:
        return sorted(set(self._protos) - self._read)

    def ignore(self, *names: str) -> None:
        """Declare attributes that do not change the meaning at inference."""
        self._read.update(names)

    def all(self) -> list[AttributeProto]:
        """Every attribute as it stands in the file, for those who pass the node on."""
        self._read.update(self._protos)
        return list(self._protos.values())

    def integer(self, name: str, default: int | None = None) -> int:
        value: int = self._get(name, "i", default)
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        return self.integer(name, int(default)) != 0

    def number(self, name: str, default: float | None = None) -> float:
        value: float = self._get(name, "f", default)
        return value

    def ints(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        return tuple(self._get(name, "ints", default))

    def floats(self, name: str, default: Sequence[float] | None = None) -> tuple[float, ...]:
        return tuple(self._get(name, "floats", default))

    def string(self, name: str, default: str | None = None) -> str:
        value = self._get(name, "s", None if default is None else default.encode())
        return bytes(value).decode("utf-8", "replace")

    def strings(self, name: str, default: Sequence[bytes] | None = None) -> tuple[bytes, ...]:
        return tuple(self._get(name, "strings", default))

    def graph(self, name: str) -> GraphProto:
        """A branch."""
        branch: GraphProto = self._get(name, "g", None)
        return branch

    def tensor(self, name: str) -> Array:
        """A tensor attribute as an array."""
        return self._tensors.array(self._get(name, "t", None), f"{self._where}, {name}")

    def _get(self, name: str, field: str, default: Any) -> Any:
        self._read.add(name)
        proto: AttributeProto | None = self._protos.get(name)
        if proto is None:
            if default is None:
                raise ModelError(f"the attribute {name!r} is missing", where=self._where)
            return default
        if proto.ref_attr_name or proto.type not in (_TYPES[field], 0):
            raise ModelError(
                f"the attribute {name!r} is not of the type {field}", where=self._where
            )
        return getattr(proto, field)
