"""Einsum: sums of products as matrix products."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cvi import ops
from cvi_frontend_onnx.converters.matrix import product
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value


@dataclass(frozen=True)
class _Term:
    """A tensor whose dimensions have letters."""

    value: Value
    letters: str

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.letters, self.value.shape, strict=True))


@converts("Einsum")
def einsum(node: Node) -> Value:
    equation = node.attributes.string("equation")
    operands = node.operands()
    terms, result = _parsed(node, equation, [v.rank for v in operands])
    given = [_Term(v, t) for v, t in zip(operands, terms, strict=True)]
    if node.is_constant:
        node.will_compute(_shape(node, given, result))
        return node.fold(np.einsum(f"{','.join(terms)}->{result}", *node.arrays()))
    if any(len(set(t)) < len(t) for t in (*terms, result)):
        node.refuse(f"takes a diagonal ({equation!r})")
    if len(operands) > 2:
        node.refuse(f"multiplies {len(operands)} tensors ({equation!r}); up to two are supported")
    work = [_summed(node, t, _others(terms, i, result), i) for i, t in enumerate(given)]
    _shape(node, work, result)
    if len(work) == 1:
        return _ordered(node, work[0], result, node.layer)
    return _multiplied(node, work[0], work[1], result)


def _others(terms: Sequence[str], index: int, result: str) -> str:
    """Letters that stand outside of one term."""
    return "".join(t for i, t in enumerate(terms) if i != index) + result


def _parsed(node: Node, equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of every operand and of the result; an ellipsis becomes capital letters
    that the equation does not use."""
    left, arrow, right = "".join(equation.split()).partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        node.broken(f"{equation!r} has {len(terms)} terms for {len(ranks)} operands")
    free = "".join(c for c in string.ascii_uppercase if c not in equation)
    counts = [r - len(t.replace("...", "")) for r, t in zip(ranks, terms, strict=True)]
    most = max((n for n, t in zip(counts, terms, strict=True) if "..." in t), default=0)
    hidden = free[: max(most, 0)]
    expanded = [
        t.replace("...", hidden[len(hidden) - n :] if n > 0 else "")
        for n, t in zip(counts, terms, strict=True)
    ]
    if list(map(len, expanded)) != list(ranks) or not "".join([*expanded, "a"]).isalpha():
        node.broken(f"{equation!r} does not fit operands of {list(ranks)} dimensions")
    if arrow:
        return expanded, right.replace("...", hidden)
    letters = "".join(expanded)
    once = sorted(c for c in set(letters) - set(hidden) if letters.count(c) == 1)
    return expanded, hidden + "".join(once)


def _shape(node: Node, terms: Iterable[_Term], result: str) -> tuple[int, ...]:
    """The result's shape; refuses letters of several sizes."""
    sizes: dict[str, int] = {}
    for term in terms:
        for letter, size in term.sizes.items():
            if sizes.setdefault(letter, size) != size:
                node.refuse(f"broadcasts the dimension {letter!r} of {sizes[letter]} to {size}")
    if set(result) - set(sizes):
        node.broken("the result has a letter that no operand has")
    return tuple(sizes[letter] for letter in result)


def _summed(node: Node, term: _Term, others: str, index: int) -> _Term:
    """The term summed over the letters that stand nowhere else."""
    axes = tuple(i for i, letter in enumerate(term.letters) if letter not in others)
    if not axes:
        return term
    kept = "".join(letter for letter in term.letters if letter in others)
    alone = len(node.inputs) == 1 and kept == others
    name = node.layer if alone else node.helper(f"sum{index}")
    op = ops.Reduce(name=name, method="sum", axes=axes, keepdims=False)
    return _Term(node.emit(op, term.value), kept)


def _ordered(node: Node, term: _Term, letters: str, name: str) -> Value:
    """The term with its dimensions in the order of these letters."""
    if term.letters == letters:
        return term.value
    order = tuple(term.letters.index(letter) for letter in letters)
    return node.emit(ops.Permute(name=name, order=order), term.value)


def _reshaped(node: Node, x: Value, shape: tuple[int, ...], name: str) -> Value:
    return x if x.shape == shape else node.emit(ops.Reshape(name=name, shape=shape), x)


def _multiplied(node: Node, a: _Term, b: _Term, result: str) -> Value:
    """The matrix product over the letters that the result does not have; without any, the
    element-wise product."""
    batch = "".join(c for c in result if c in a.letters and c in b.letters)
    inner = "".join(c for c in a.letters if c in b.letters and c not in result)
    rows = "".join(c for c in result if c not in b.letters)
    columns = "".join(c for c in result if c not in a.letters)
    if not inner:
        return _outer(node, a, b, result)
    sizes = {**a.sizes, **b.sizes}

    def many(letters: str) -> int:
        return math.prod(sizes[c] for c in letters)

    outer, m, k, n = (many(batch),) if batch else (), many(rows), many(inner), many(columns)
    left = _ordered(node, a, batch + rows + inner, node.helper("left"))
    left = _reshaped(node, left, (*outer, m, k), node.helper("left_matrix"))
    right = _ordered(node, b, batch + inner + columns, node.helper("right"))
    right = _reshaped(node, right, (*outer, k, n), node.helper("right_matrix"))
    laid = batch + rows + columns
    shape = tuple(sizes[c] for c in laid)
    names = _names(node, shape != (*outer, m, n), laid != result)
    y = product(node, left, right, names[0])
    y = _reshaped(node, y, shape, names[1])
    return _ordered(node, _Term(y, laid), result, node.layer)


def _names(node: Node, reshapes: bool, permutes: bool) -> tuple[str, str]:
    """Names of the product and of the reshape behind it: the last step bears the layer's."""
    first = node.helper("product") if reshapes or permutes else node.layer
    return first, node.helper("shape") if permutes else node.layer


def _outer(node: Node, a: _Term, b: _Term, result: str) -> Value:
    """The element-wise product of both, each with dimensions of 1 where it has no letter."""
    parts = []
    for i, term in enumerate((a, b)):
        own = "".join(c for c in result if c in term.letters)
        ordered = _ordered(node, term, own, node.helper(f"order{i}"))
        shape = tuple(term.sizes.get(c, 1) for c in result)
        parts.append(_reshaped(node, ordered, shape, node.helper(f"shape{i}")))
    return node.emit(ops.Mul(name=node.layer), *parts)
