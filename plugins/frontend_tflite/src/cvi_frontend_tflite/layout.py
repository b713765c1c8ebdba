"""How the dimensions of a layer change when the tensor that it holds is reshaped."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Shape
from cvi_frontend_tflite.values import Order, in_order, usual_order

Segment = tuple[tuple[int, ...], tuple[int, ...]]
"""Dimensions before and after that hold the same elements."""


@dataclass(frozen=True)
class Reshaping:
    """before: the order in which a layer must hold the tensor, so that a plain reshape of
    the layer to the dimensions `after` of the new shape is the reshape of the tensor."""

    before: Order
    after: Order


def reshaping(old: Shape, new: Shape, order: Order) -> Reshaping:
    """The way to reshape a tensor held in `order` that moves as little as possible.

    Dimensions that the reshape does not touch stay where they are: an image of [n, h, w, c]
    that is held as [n, c, h, w] becomes [n, h*w, c] held as [n, c, h*w]. If elements must be
    moved all the same, they are moved to the usual order, which what follows likely wants.
    """
    parts = sorted(segments(old, new), key=lambda part: _place(part[0], old, order))
    before = tuple(i for part in parts for i in part[0])
    after = tuple(j for part in parts for j in part[1])
    wanted = [i for i in before if old[i] != 1]
    held = [i for i in order if old[i] != 1]
    if wanted == held:
        return Reshaping(order, after)
    in_place = after == usual_order(len(new))
    return (
        Reshaping(before, after) if in_place else Reshaping(in_order(len(old)), in_order(len(new)))
    )


def _place(dims: tuple[int, ...], shape: Shape, order: Order) -> int:
    """Where a segment stands in the layer; dimensions of one element stand anywhere."""
    real = [i for i in dims if shape[i] != 1] or dims
    return min((order.index(i) for i in real), default=0)


def segments(old: Shape, new: Shape) -> list[Segment]:
    """The finest common division of two shapes of equally many elements, in order.

    [n, h, w, c] and [n, h*w, c] divide into n and n, h and w and h*w, c and c.
    """
    found: list[Segment] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j] == 1:
            end = (i + 1, j + 1)
        else:
            end = _segment_end(old, new, i, j)
        found.append((tuple(range(i, end[0])), tuple(range(j, end[1]))))
        i, j = end
    return found


def _segment_end(old: Shape, new: Shape, i: int, j: int) -> tuple[int, int]:
    a = b = 1
    while i < len(old) or j < len(new):
        if a == b > 1:
            break
        if i < len(old) and (a <= b or j == len(new)):
            a, i = a * old[i], i + 1
        else:
            b, j = b * new[j], j + 1
    while i < len(old) and old[i] == 1 and not (j < len(new) and new[j] == 1):
        i += 1
    while j < len(new) and new[j] == 1 and not (i < len(old) and old[i] == 1):
        j += 1
    return i, j
