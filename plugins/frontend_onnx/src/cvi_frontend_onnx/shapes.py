"""The shapes of the network inputs: dynamic dimensions fixed, the batch applied."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvi.errors import InputError, ModelError, UnsupportedError
from cvi.ir import Shape

if TYPE_CHECKING:
    from onnx import ValueInfoProto

Declared = tuple[int | str, ...]
"""Dimensions as the model declares them: a size, or the name of a dynamic one."""


@dataclass(frozen=True)
class InputShapes:
    """Fixed shapes by input; batch: (the model's own, the new one) when they differ."""

    shapes: Mapping[str, Shape]
    batch: tuple[int, int] | None = None


def declared_shape(info: ValueInfoProto) -> Declared:
    """The declared shape; "?" names a dimension without a name."""
    if not info.type.HasField("tensor_type"):
        kind = info.type.WhichOneof("value") or "no type"
        raise UnsupportedError(
            f"the input is a {kind.removesuffix('_type')}, not a tensor", where=info.name
        )
    if not info.type.tensor_type.HasField("shape"):
        raise ModelError("the input has no shape", where=info.name)
    dims: list[int | str] = []
    for dim in info.type.tensor_type.shape.dim:
        fixed = dim.HasField("dim_value") and dim.dim_value > 0
        dims.append(int(dim.dim_value) if fixed else dim.dim_param or "?")
    return tuple(dims)


def fix_shapes(
    declared: Mapping[str, Declared],
    *,
    batch: int | None,
    given: Mapping[str, Sequence[int]],
) -> InputShapes:
    """Apply --batch and --input-shape. InputError for what remains dynamic or does not fit.

    A dynamic dimension 0 is a batch of 1 unless said otherwise. `batch` replaces
    dimension 0 of every input where it is dynamic or equals the model's own batch.
    """
    if batch is not None and batch < 1:
        raise InputError(f"the batch must be 1 or more, not {batch}", where="--batch")
    _check_given(declared, given)
    own = _own_batch(declared)
    shapes = {
        name: _fix(name, dims, own, batch, given.get(name)) for name, dims in declared.items()
    }
    new = next((s[0] for n, s in shapes.items() if s and declared[n] and declared[n][0] == own), 0)
    changed = isinstance(own, int) and new not in (0, own)
    return InputShapes(shapes, (own, new) if changed and isinstance(own, int) else None)


def _own_batch(declared: Mapping[str, Declared]) -> int | str:
    """Dimension 0 of the first image-like input, else of the first input of any kind."""
    ranked = [dims for dims in declared.values() if len(dims) > 1]
    images = [dims for dims in ranked if len(dims) == 4]
    return (images or ranked)[0][0] if ranked else "?"


def _fix(
    name: str,
    dims: Declared,
    own: int | str,
    batch: int | None,
    given: Sequence[int] | None,
) -> Shape:
    if given is not None:
        return tuple(given)
    fixed = list(dims)
    if len(fixed) > 1 and (isinstance(fixed[0], str) or (batch and fixed[0] == own)):
        fixed[0] = batch or 1
    for i, dim in enumerate(fixed):
        if isinstance(dim, str):
            raise InputError(
                f"dimension {i} of the input is dynamic ({_readable(dims)})",
                where=name,
                fix=f"say --input-shape {name}={_example(fixed)}",
            )
    return tuple(dim for dim in fixed if isinstance(dim, int))


def _check_given(declared: Mapping[str, Declared], given: Mapping[str, Sequence[int]]) -> None:
    for name, shape in given.items():
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=3) or list(declared)
            raise InputError(
                f"the model has no input {name!r}",
                where="--input-shape",
                fix=f"its inputs are {', '.join(near)}",
            )
        if len(shape) != len(declared[name]) or min(shape, default=1) < 1:
            raise InputError(
                f"the shape {','.join(map(str, shape))} does not fit {_readable(declared[name])}",
                where=f"--input-shape {name}",
                fix="give a positive size for every dimension",
            )


def _readable(dims: Declared) -> str:
    return "x".join(map(str, dims))


def _example(dims: Sequence[int | str]) -> str:
    """A shape to put into an error message: the dynamic sizes as letters."""
    letters = "NCHW" if len(dims) == 4 else "NCLDEFG"
    return ",".join(
        str(d) if isinstance(d, int) else letters[i % len(letters)] for i, d in enumerate(dims)
    )
