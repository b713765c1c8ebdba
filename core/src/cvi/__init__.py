"""cvi: compile neural networks for the TPUs of the CV18xx chips.

The public functions are imported when they are first used: `import cvi` is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvi.evaluate.api import Evaluated, evaluate_classifier
    from cvi.flow.api import (
        Conversion,
        calibrate_model,
        compare_files,
        convert,
        deploy,
        load,
        transform,
    )
    from cvi.flow.examine import Examination, Verdict, check, inspect
    from cvi.flow.images import ImageOptions
    from cvi.flow.running import run
    from cvi.search.api import Budget, Search, search_precision

__version__ = "0.1.0"

__all__ = [
    "Budget", "Conversion", "Evaluated", "Examination", "ImageOptions", "Search", "Verdict",
    "calibrate_model", "check", "compare_files", "convert", "deploy", "evaluate_classifier",
    "inspect", "load", "run", "search_precision", "transform",
]  # fmt: skip

_HOME = {
    "Budget": "cvi.search.api",
    "Conversion": "cvi.flow.api",
    "Evaluated": "cvi.evaluate.api",
    "Examination": "cvi.flow.examine",
    "ImageOptions": "cvi.flow.images",
    "Verdict": "cvi.flow.examine",
    "calibrate_model": "cvi.flow.api",
    "check": "cvi.flow.examine",
    "compare_files": "cvi.flow.api",
    "convert": "cvi.flow.api",
    "deploy": "cvi.flow.api",
    "evaluate_classifier": "cvi.evaluate.api",
    "inspect": "cvi.flow.examine",
    "load": "cvi.flow.api",
    "run": "cvi.flow.running",
    "Search": "cvi.search.api",
    "search_precision": "cvi.search.api",
    "transform": "cvi.flow.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cvi' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
