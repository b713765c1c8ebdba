"""Which ops of a TFLite graph to convert, and what their layers are called."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from cvi.errors import InputError, ModelError
from cvi_frontend_tflite.schema import Model


def producers(model: Model) -> dict[int, int]:
    """Tensor -> index of the op that computes it. ModelError when two do."""
    found: dict[int, int] = {}
    for op in model.operators:
        for tensor in op.outputs:
            if tensor in found:
                raise ModelError("two ops compute the same tensor", where=_name(model, tensor))
            found[tensor] = op.index
    return found


def layer_names(model: Model) -> dict[int, str]:
    """Tensor -> name of the layer that computes it: `<tensor>_<OP>`.

    An output that the model's signature names bears that name.
    """
    return {
        tensor: model.signature_outputs.get(tensor) or f"{_name(model, tensor)}_{op.name}"
        for op in model.operators
        for tensor in op.outputs
    }


def choose_outputs(
    model: Model, layers: Mapping[int, str], wanted: Sequence[str] | None
) -> list[int]:
    """The tensors to compute: the model's outputs, or those that match the patterns.

    A pattern (fnmatch wildcards) is compared with names of tensors, of layers and of the
    signature's outputs.
    """
    if wanted is None:
        return list(dict.fromkeys(model.outputs))
    names = {
        tensor: {_name(model, tensor), layer, f"{_name(model, tensor)}_{op.name}"}
        for op in model.operators
        for tensor, layer in ((t, layers[t]) for t in op.outputs)
    }
    chosen: dict[int, None] = {}
    for pattern in wanted:
        matches = [t for t, known in names.items() if pattern in known]
        matches = matches or [t for t, known in names.items() if fnmatch.filter(known, pattern)]
        if not matches:
            raise _no_match(pattern, sorted({name for known in names.values() for name in known}))
        chosen.update(dict.fromkeys(matches))
    return list(chosen)


def _no_match(pattern: str, names: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(pattern, names, n=3)
    return InputError(
        f"no tensor or layer matches {pattern!r}" + (f", near: {', '.join(near)}" if near else ""),
        where="--outputs",
        fix="`cvi inspect MODEL --layers` lists them",
    )


def needed_ops(model: Model, outputs: Iterable[int], known: set[int]) -> list[int]:
    """Indices of the ops that the outputs need, in the order of the file.

    known: tensors that need no op (inputs and constants). ModelError for operands that
    nothing computes before they are read.
    """
    producer = producers(model)
    needed: set[int] = set()
    stack = [(tensor, len(model.operators)) for tensor in outputs]
    while stack:
        tensor, reader = stack.pop()
        if tensor in known:
            continue
        index = producer.get(tensor)
        if index is None or index >= reader:
            raise ModelError(
                f"nothing computes the tensor {_name(model, tensor)!r} before it is read",
                fix="the file is incomplete: export it again",
            )
        if index not in needed:
            needed.add(index)
            stack += [(t, index) for t in model.operators[index].inputs if t >= 0]
    return sorted(needed)


def _name(model: Model, tensor: int) -> str:
    return model.tensors[tensor].name
