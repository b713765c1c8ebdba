"""onnxruntime sessions: quiet, on the CPU, with bounded threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cvi.errors import ModelError
from cvi.ir import Array

if TYPE_CHECKING:
    import onnxruntime
    from onnx import ModelProto

_FATAL = 4


def make_session(
    model: ModelProto,
    *,
    optimise: bool,
    threads: int = 0,
    outside: Mapping[str, Array] | None = None,
) -> onnxruntime.InferenceSession:
    """A session of a model in memory. ModelError when onnxruntime refuses it.

    threads: 0 means one per core. outside: weights that the model lacks; they are not copied,
    and must live as long as the session.
    """
    _no_telemetry()
    import onnxruntime
    from google.protobuf.message import EncodeError

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    if outside:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in outside.values()]
        options.add_external_initializers(list(outside), values)
    try:
        data = model.SerializeToString()
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except (EncodeError, *runtime_errors()) as error:
        raise ModelError(f"onnxruntime refuses the model: {first_line(error)}") from error


def _no_telemetry() -> None:
    """Keep onnxruntime from reporting what it runs, and from leaving a file for that in the
    folder of temporary files. It looks at the variable when it is imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def runtime_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: builtin errors and classes of its own without a common base."""
    _no_telemetry()
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception)]
    return (RuntimeError, ValueError, *own)


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
