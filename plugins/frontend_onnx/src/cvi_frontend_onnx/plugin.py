"""What this distribution gives to cvi: the ONNX frontend and the onnxruntime executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cvi.hookspecs import Executor, Frontend, hookimpl

if TYPE_CHECKING:
    from cvi_frontend_onnx.registry import Converter


@hookimpl
def cvi_register_frontends() -> Sequence[Frontend]:
    from cvi_frontend_onnx.frontend import OnnxFrontend

    return [OnnxFrontend()]


@hookimpl
def cvi_register_executors() -> Sequence[Executor]:
    from cvi_frontend_onnx.executor import OnnxRuntimeExecutor

    return [OnnxRuntimeExecutor()]


@hookimpl
def cvi_register_converters(frontend: str) -> Mapping[str, Any]:
    from cvi_frontend_onnx.registry import built_in

    ours: Mapping[str, Converter] = built_in() if frontend == "onnx" else {}
    return ours
