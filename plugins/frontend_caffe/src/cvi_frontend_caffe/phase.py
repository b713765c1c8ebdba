"""Which layers take part in inference: Caffe's rules of `include` and `exclude`."""

from __future__ import annotations

from typing import Any

from cvi.errors import ModelError

_TEST = 1
_STAGE = "deploy"


def for_inference(layer: Any, state: Any, where: str) -> bool:
    """Whether a `LayerParameter` belongs to the network in the phase TEST.

    The level and the stages are those of the network's `state`; without any, the stage is
    "deploy", which files for training and deployment alike use.
    """
    if layer.include and layer.exclude:
        raise ModelError("has rules of both kinds, include and exclude", where=where)
    if layer.include:
        return any(_met(rule, state) for rule in layer.include)
    return not any(_met(rule, state) for rule in layer.exclude)


def _met(rule: Any, state: Any) -> bool:
    stages = set(state.stage) or {_STAGE}
    return bool(
        (not rule.HasField("phase") or rule.phase == _TEST)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and not stages.intersection(rule.not_stage)
    )
