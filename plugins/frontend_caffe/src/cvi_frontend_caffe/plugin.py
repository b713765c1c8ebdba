"""What this distribution gives to cvi: the Caffe frontend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cvi.hookspecs import Frontend, hookimpl

if TYPE_CHECKING:
    from cvi_frontend_caffe.registry import Converter


@hookimpl
def cvi_register_frontends() -> Sequence[Frontend]:
    from cvi_frontend_caffe.frontend import CaffeFrontend

    return [CaffeFrontend()]


@hookimpl
def cvi_register_converters(frontend: str) -> Mapping[str, Any]:
    from cvi_frontend_caffe.registry import built_in

    ours: Mapping[str, Converter] = built_in() if frontend == "caffe" else {}
    return ours
