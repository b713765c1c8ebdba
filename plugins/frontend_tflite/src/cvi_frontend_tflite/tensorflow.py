"""SavedModel, Keras and frozen graphs: TensorFlow's own converter makes TFLite of them.

It runs in a process of its own, for TensorFlow takes seconds and much memory to start,
writes to the console as it likes, and may crash on a damaged file.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from cvi.errors import ModelError, PluginError
from cvi.files import scratch_folder
from cvi_frontend_tflite.process import run_module

_TIMEOUT = 1800.0


def converted(path: Path, kind: str) -> bytes:
    """The TFLite file of a TensorFlow model.

    PluginError without TensorFlow, ModelError when TensorFlow refuses the model.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise PluginError(
            "TensorFlow's own formats are read with TensorFlow, which is not installed",
            where=str(path),
            fix='pip install "cvi-frontend-tflite[tensorflow]", or convert the model to .tflite',
        )
    if kind == "saved-model" and path.is_file():
        path = path.parent
    return _converted(path.resolve(), kind, _changed(path))


@functools.lru_cache(maxsize=2)
def _converted(path: Path, kind: str, changed: int) -> bytes:
    with scratch_folder() as folder:
        result = folder / "model.tflite"
        said = run_module(
            "cvi_frontend_tflite.tensorflow_child", [kind, str(path), str(result)], _TIMEOUT
        )
        if said is not None or not result.is_file():
            raise ModelError(
                f"TensorFlow cannot convert it: {said or 'it gave no result'}",
                fix="convert it to .tflite yourself, or export it again",
            )
        return result.read_bytes()


def _changed(path: Path) -> int:
    file = path / "saved_model.pb" if path.is_dir() else path
    return file.stat().st_mtime_ns
