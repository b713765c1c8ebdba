"""The shape that a framework's reshape means."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cvi.ir import Shape

Batch = tuple[int, int]
"""The model's own batch size, and the one asked for."""


def target_shape(shape: Shape, target: Sequence[int], batch: Batch | None) -> Shape | None:
    """What a tensor of `shape` becomes, None when its elements do not fit.

    target: sizes, one of which may be -1 for what is left. batch: None for constants, and
    where the batch is the model's own; else a target that names the model's own batch first
    means the new one, where that fits.
    """
    return _resolved(math.prod(shape), _with_new_batch(shape, list(target), batch))


def _with_new_batch(shape: Shape, target: list[int], batch: Batch | None) -> list[int]:
    if batch is None or not target:
        return target
    own, new = batch
    changed, elements = [new, *target[1:]], math.prod(shape)
    keeps_batch = len(shape) > 0 and shape[0] == new
    if (
        target[0] == own
        and _resolved(elements, changed) is not None
        and (keeps_batch or _resolved(elements, target) is None)
    ):
        return changed
    return target


def _resolved(elements: int, target: list[int]) -> Shape | None:
    """The target with its -1 worked out; None when the elements do not fit."""
    if target.count(-1) > 1 or min(target, default=0) < -1:
        return None
    if -1 in target:
        rest = math.prod(size for size in target if size != -1)
        if not rest or elements % rest:
            return None
        target = [elements // rest if size == -1 else size for size in target]
    return tuple(target) if math.prod(target) == elements else None
