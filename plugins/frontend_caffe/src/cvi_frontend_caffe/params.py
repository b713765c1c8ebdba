"""The parameters of one layer, read with a memory of what was asked for."""

from __future__ import annotations

from typing import Any

from cvi_frontend_caffe.schema import is_repeated

_TRAINING = frozenset({
    "engine", "weight_filler", "bias_filler", "filler", "scale_filler", "slope_filler",
    "shift_filler", "moving_average_fraction", "momentum", "frozen", "force_nd_im2col",
    "conv_algorithm", "dropout_ratio", "debug_info", "fuse", "share_in_parallel",
    "save_output_param", "visualize", "visualize_threshold", "save_file",
})  # fmt: skip
"""What only matters when a network is trained, or how its results are shown."""


class Params:
    """One message `…_param` of a layer.

    A parameter that no converter asks for is a meaning we would ignore, so the importer
    refuses layers with `unread` parameters.
    """

    def __init__(self, message: Any) -> None:
        self._message = message
        self._read: set[str] = set()
        self._inner: dict[str, Params] = {}

    @property
    def unread(self) -> list[str]:
        """Parameters given another value than their default that nobody asked for."""
        own = [
            known.name
            for known, value in self._message.ListFields()
            if known.name not in self._read | _TRAINING
            and (is_repeated(known) or known.message_type or value != known.default_value)
        ]
        return own + [f"{n}.{name}" for n, inner in self._inner.items() for name in inner.unread]

    def ignore(self, *names: str) -> None:
        """Declare parameters that do not change the meaning at inference."""
        self._read.update(names)

    def has(self, name: str) -> bool:
        """Whether the file gives the parameter (a list: at least one entry)."""
        known = self._message.DESCRIPTOR.fields_by_name[name]
        if is_repeated(known):
            return len(getattr(self._message, name)) > 0
        return bool(self._message.HasField(name))

    def knows(self, name: str) -> bool:
        """Whether messages of this kind have the parameter at all."""
        return name in self._message.DESCRIPTOR.fields_by_name

    def is_list(self, name: str) -> bool:
        return is_repeated(self._message.DESCRIPTOR.fields_by_name[name])

    def integer(self, name: str) -> int:
        return int(self._get(name))

    def number(self, name: str) -> float:
        return float(self._get(name))

    def flag(self, name: str) -> bool:
        return bool(self._get(name))

    def text(self, name: str) -> str:
        return str(self._get(name))

    def integers(self, name: str) -> tuple[int, ...]:
        return tuple(int(v) for v in self._get(name))

    def numbers(self, name: str) -> tuple[float, ...]:
        return tuple(float(v) for v in self._get(name))

    def choice(self, name: str) -> str:
        """The name of an enumerator."""
        known = self._message.DESCRIPTOR.fields_by_name[name]
        return str(known.enum_type.values_by_number[self._get(name)].name)

    def dims(self, name: str) -> tuple[int, ...]:
        """The dimensions of a `BlobShape`."""
        return tuple(int(d) for d in self._get(name).dim)

    def inner(self, name: str) -> Params:
        """A message within this one."""
        found = self._inner.get(name)
        if found is None:
            found = self._inner[name] = Params(self._get(name))
        return found

    def _get(self, name: str) -> Any:
        self._read.add(name)
        return getattr(self._message, name)
