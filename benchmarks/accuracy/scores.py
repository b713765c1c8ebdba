"""How well the scores of a network in some form match the labels and the FP32 scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array


@dataclass(frozen=True, kw_only=True)
class Score:
    """One network in one form.

    images: how many. top1, top5: of them right, None without labels. lost: those that FP32 has
    right less those that this form has right. changed: whose best class is another than
    FP32's. kl: mean divergence of the class probabilities from FP32's.
    """

    form: str
    images: int
    top1: int | None = None
    top5: int | None = None
    lost: int | None = None
    changed: int = 0
    kl: float = 0.0
    cpu_s: float = 0.0


def score(
    form: str,
    scores: Sequence[Array],
    reference: Sequence[Array],
    labels: Sequence[int] | None,
    cpu_s: float = 0.0,
) -> Score:
    """Count what differs; scores and reference: before the softmax, one array per image."""
    pairs = list(zip(scores, reference, strict=True))
    right = {k: None if labels is None else hits(scores, labels, k) for k in (1, 5)}
    lost = None if labels is None else hits(reference, labels, 1) - hits(scores, labels, 1)
    return Score(
        form=form,
        images=len(pairs),
        top1=right[1],
        top5=right[5],
        lost=lost,
        changed=sum(int(a.argmax()) != int(b.argmax()) for a, b in pairs),
        kl=float(np.mean([divergence(b, a) for a, b in pairs])),
        cpu_s=cpu_s,
    )


def hits(scores: Sequence[Array], labels: Sequence[int], k: int) -> int:
    """How many images have the right class among the k best; of equal scores the first ones."""
    flat = [array.reshape(-1) for array in scores]
    return sum(
        label in np.argsort(-row, kind="stable")[:k]
        for row, label in zip(flat, labels, strict=True)
    )


def divergence(reference: Array, scores: Array) -> float:
    """Kullback-Leibler divergence of the softmax of scores from that of the reference."""
    p, q = (log_softmax(array.reshape(-1).astype(np.float64)) for array in (reference, scores))
    return float((np.exp(p) * (p - q)).sum())


def log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max()
    result: Array = shifted - np.log(np.exp(shifted).sum())
    return result
