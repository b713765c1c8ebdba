"""The base class of every operation, float or quantised, ours or a third party's.

An op has exactly one result; the op's name is the name of that result and of the
layer. Framework layers with several results become several ops.
"""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cvi.errors import PluginError
from cvi.ir.types import Array, TensorType

if TYPE_CHECKING:
    from typing_extensions import Self

_UNTYPED = TensorType(())


@dataclass(frozen=True, kw_only=True)
class Op:
    """One layer.

    name: unique in the graph; also the name of the result.
    inputs: names of other ops or of constants; "" stands for an absent optional operand.
    type: type of the result, filled in by `infer` when the op is added to a graph.
    source: the tensor of the source model whose value this result equals, "" if none.
    Subclasses add their attributes as further fields with immutable values.
    """

    name: str
    inputs: tuple[str, ...] = ()
    type: TensorType = _UNTYPED
    source: str = ""

    registry: ClassVar[dict[str, builtins.type[Op]]] = {}

    incomparable: ClassVar[str] = ""
    """Why results of the quantised and of the float graph cannot be compared element by
    element; empty for ops whose result changes little when their operands do."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = Op.registry.get(cls.__name__)
        if (
            known is not None
            and known.__qualname__ == cls.__qualname__
            and (known.__module__ != cls.__module__)
        ):
            raise PluginError(
                f"op {cls.__name__} is defined by both {known.__module__} and {cls.__module__}",
                fix="rename one of the two, or uninstall one of the plugins",
            )
        Op.registry[cls.__name__] = cls

    @property
    def kind(self) -> str:
        """Name of the operation, e.g. `Conv2d`."""
        return type(self).__name__

    def infer(self, inputs: Sequence[TensorType | None]) -> TensorType:
        """Type of the result for the given operand types (None: absent operand).

        Raises ModelError when the operands do not fit.
        """
        raise NotImplementedError(f"{self.kind} has no shape rule")

    def evaluate(self, *inputs: Array | None) -> Array:
        """Reference meaning in numpy: the arrays of the operands to the result's array."""
        raise NotImplementedError(f"{self.kind} has no reference implementation")

    def estimate(self, *inputs: Array | None) -> Array:
        """As `evaluate`, nearly, and fast: for ops whose exact meaning fixes an order of sums."""
        return self.evaluate(*inputs)

    def attributes(self) -> dict[str, Any]:
        """The subclass's own fields, in order of declaration."""
        base = {f.name for f in fields(Op)}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in base}

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)


OpT = TypeVar("OpT", bound=Op)


def op_class(kind: str) -> type[Op]:
    """The op class of that name; PluginError with near names when there is none."""
    try:
        return Op.registry[kind]
    except KeyError:
        near = difflib.get_close_matches(kind, Op.registry, n=3)
        raise PluginError(
            f"unknown op {kind!r}" + (f", did you mean {', '.join(near)}?" if near else ""),
            fix="install the plugin that defines it; `cvi plugins` lists what is installed",
        ) from None
