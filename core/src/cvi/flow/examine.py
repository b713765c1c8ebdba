"""Looking into a model before converting it: `inspect` and `check`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cvi import plugins
from cvi.cut import proposal
from cvi.errors import InputError
from cvi.flow.guess import guess
from cvi.flow.images import is_image_input
from cvi.ir import Graph, Input
from cvi.macs import macs


@dataclass(frozen=True)
class Examination:
    """What a network consists of.

    layers: name, kind and result type of each, in execution order. ops: how often each
    kind occurs. parameters: elements of all constants. macs: multiply-accumulates of
    convolutions, matrix products and recurrences for one inference. preprocessing: by image
    input, the formula or what is known of it, and how.
    """

    name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    layers: tuple[tuple[str, str, str], ...]
    ops: Mapping[str, int]
    parameters: int
    macs: int
    preprocessing: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """Whether a chip can run a network. problems: one line per layer that it cannot; outputs:
    the tensors of the model before them, at which the network could end."""

    chip: str
    quant: str
    layers: int
    problems: tuple[str, ...]
    outputs: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems


def inspect(
    model: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    random_weights: int | None = None,
    model_type: str = "",
    batch: int | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Sequence[str] = (),
) -> Examination:
    """Inputs, outputs, layers, parameters and multiply-accumulates of a model.

    Counted before simplification, so that the layers are those of the file.
    """
    from cvi.flow.api import load

    graph = load(
        model,
        weights=weights,
        random_weights=random_weights,
        model_type=model_type,
        batch=batch,
        input_shapes=input_shapes,
        outputs=outputs,
        simplified=False,
    )
    layers = [op for op in graph.ops if not isinstance(op, Input)]
    return Examination(
        name=graph.name,
        inputs={op.name: _input(op) for op in graph.inputs},
        outputs={name: str(graph.type_of(name)) for name in graph.outputs},
        layers=tuple((op.name, op.kind, str(op.type)) for op in layers),
        ops=dict(Counter(op.kind for op in layers).most_common()),
        parameters=sum(array.size for array in graph.constants.values()),
        macs=sum(macs(graph, op) for op in layers),
        preprocessing={op.name: _preprocessing(graph, op) for op in graph.inputs},
    )


def check(
    model: str | os.PathLike[str],
    *,
    chip: str,
    quant: str = "int8",
    weights: str | os.PathLike[str] | None = None,
    random_weights: int | None = None,
    model_type: str = "",
    batch: int | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Sequence[str] = (),
) -> Verdict:
    """Which layers of a model a chip cannot run in a precision, and why."""
    from cvi.flow.api import load

    device = plugins.chip(chip)
    if quant not in device.schemes:
        raise InputError(
            f"{chip} does not support {quant!r}",
            where="--quant",
            fix=f"one of: {', '.join(device.schemes)}",
        )
    scheme = plugins.scheme(quant)
    graph = load(
        model,
        weights=weights,
        random_weights=random_weights,
        model_type=model_type,
        batch=batch,
        input_shapes=input_shapes,
        outputs=outputs,
    )
    layers = sum(not isinstance(op, Input) for op in graph.ops)
    problems = tuple(scheme.problems(graph, device))
    return Verdict(chip, quant, layers, problems, tuple(proposal(graph, problems)))


def _input(op: Input) -> str:
    """The type of an input, and what it is in the file where that differs."""
    own = " ".join(filter(None, (op.file_dtype, op.file_layout)))
    return f"{op.type} (in the file {own})" if own else str(op.type)


def _preprocessing(graph: Graph, op: Input) -> str:
    """What is known of an input's preprocessing, and how it is known."""
    if op.preprocess is not None:
        formula = op.preprocess.formula().replace("\n", "; ")
        return f"{formula} (stored in the file)"
    if not is_image_input(op):
        return "none: not an image"
    found = guess(graph, op)
    if found is not None:
        return str(found)
    return "unknown: nothing in the file tells; see where the model was trained"
