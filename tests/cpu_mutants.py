"""Damages calls of CPU functions: arguments, shapes, element types, values, their number."""

from __future__ import annotations

import random
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from cpu_cases import Case
from cvi.ir.types import Array
from cvi_tpu.model import Element
from cvi_tpu.model.arguments import Floats, Ints

STRANGE: dict[type, list[Any]] = {
    int: [0, -1, 1, 2, 3, 4, 7, 10**6, 2**31 - 1, -(2**31)],
    float: [0.0, -1.0, 1.0, float("nan"), float("inf"), 1e30],
    bool: [True, False],
    str: ["", "x", "CORNER", "nearest_half_pixel", "1,2,nan", "DCR"],
    Ints: [Ints(()), Ints((0,)), Ints((-1,)), Ints((3, 2, 1, 0)), Ints((2**31 - 1,))],
    Floats: [Floats(()), Floats((0.5,)), Floats((float("nan"),) * 4)],
}


def mutant(case: Case, rng: random.Random) -> Case:
    """The call with one to three things changed."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        case = rng.choice(_CHANGES)(case, rng)
    return case


def _argument(case: Case, rng: random.Random) -> Case:
    """An argument is missing, has another value, or is of another type."""
    arguments = dict(case.arguments)
    if not arguments:
        return case
    key = rng.choice(list(arguments))
    kind = type(arguments[key]) if rng.random() < 0.8 else rng.choice(list(STRANGE))
    if rng.random() < 0.1:
        del arguments[key]
    else:
        arguments[key] = rng.choice(STRANGE[kind])
    return replace(case, arguments=arguments)


def _resized(shape: tuple[int, ...], rng: random.Random) -> tuple[int, ...]:
    """Another shape: reordered, or with one size changed; not bigger than a few MB."""
    sizes = list(shape)
    if rng.random() < 0.4:
        rng.shuffle(sizes)
    else:
        at = rng.randrange(4)
        sizes[at] = rng.choice([1, 2, sizes[at] + 1, max(sizes[at] - 1, 1), sizes[at] * 2, 1000])
    return tuple(sizes) if prod(sizes) < 1 << 18 else shape


def _input_shape(case: Case, rng: random.Random) -> Case:
    if not case.inputs:
        return case
    inputs = list(case.inputs)
    at = rng.randrange(len(inputs))
    inputs[at] = np.resize(inputs[at], _resized(inputs[at].shape, rng))
    return replace(case, inputs=inputs)


def _output_shape(case: Case, rng: random.Random) -> Case:
    if not case.outputs:
        return case
    outputs = list(case.outputs)
    at = rng.randrange(len(outputs))
    shape, element = outputs[at]
    if rng.random() < 0.5:
        element = rng.choice(list(Element))
    outputs[at] = (_resized(shape, rng), element)
    return replace(case, outputs=outputs)


def _number(case: Case, rng: random.Random) -> Case:
    """An input or output too many or too few."""
    inputs, outputs = list(case.inputs), list(case.outputs)
    match rng.randrange(4):
        case 0 if inputs:
            inputs.pop()
        case 1 if inputs:
            inputs.append(inputs[0])
        case 2 if outputs:
            outputs.pop()
        case _ if outputs:
            outputs.append(outputs[0])
    return replace(case, inputs=inputs, outputs=outputs, names=())


def _element_type(case: Case, rng: random.Random) -> Case:
    if not case.inputs:
        return case
    inputs: list[Array] = list(case.inputs)
    at = rng.randrange(len(inputs))
    kinds = (np.float32, np.int8, np.uint8, np.int16, np.int32, np.uint32)
    inputs[at] = (
        np.clip(np.nan_to_num(inputs[at]), -1e9, 1e9).astype(np.int64).astype(rng.choice(kinds))
    )
    elements = {k: v for k, v in case.elements.items() if k != at}
    return replace(case, inputs=inputs, elements=elements)


def _values(case: Case, rng: random.Random) -> Case:
    """Extreme values in an fp32 or index input."""
    if not case.inputs:
        return case
    inputs = list(case.inputs)
    at = rng.randrange(len(inputs))
    values = inputs[at].copy()
    extremes = STRANGE[float] if values.dtype == np.float32 else [0, 1, 127]
    values.reshape(-1)[rng.randrange(values.size)] = rng.choice(extremes)
    inputs[at] = values
    return replace(case, inputs=inputs)


_CHANGES = (
    _argument,
    _argument,
    _argument,
    _input_shape,
    _output_shape,
    _number,
    _element_type,
    _values,
)
