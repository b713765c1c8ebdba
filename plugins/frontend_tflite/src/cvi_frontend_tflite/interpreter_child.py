"""Runs a TFLite model in TensorFlow Lite's interpreter, in a process of its own.

    python -m cvi_frontend_tflite.interpreter_child MODEL FEEDS RESULTS TENSOR,…

FEEDS holds `tensor index` -> array with one entry per turn in front. RESULTS gets the
asked tensors in the same form. A damaged model may crash the interpreter: nothing but
this process.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def main(model: str, feeds: str, results: str, tensors: str) -> None:
    interpreter = _interpreter(model)
    with np.load(feeds, allow_pickle=False) as stored:
        given = {int(name): stored[name] for name in stored.files}
    for index, turns in given.items():
        interpreter.resize_tensor_input(index, turns.shape[1:], strict=False)
    interpreter.allocate_tensors()
    wanted = [int(t) for t in tensors.split(",") if t]
    found: dict[int, list[Any]] = {}
    for turn in range(len(next(iter(given.values())))):
        for index, turns in given.items():
            interpreter.set_tensor(index, turns[turn])
        interpreter.invoke()
        for index in wanted:
            array = _tensor(interpreter, index)
            if array is not None:
                found.setdefault(index, []).append(array)
    stacked = {str(i): np.stack(arrays) for i, arrays in found.items()}
    np.savez(results, **stacked)  # type: ignore[arg-type]


def _interpreter(model: str) -> Any:
    """Plain kernels, all intermediate tensors kept."""
    try:
        from ai_edge_litert import interpreter as lite
    except ImportError:
        import tensorflow

        lite = tensorflow.lite.experimental
        make = tensorflow.lite.Interpreter
    else:
        make = lite.Interpreter
    return make(
        model_path=model,
        experimental_op_resolver_type=lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
        num_threads=2,
    )


def _tensor(interpreter: Any, index: int) -> Any:
    try:
        return np.array(interpreter.get_tensor(index))
    except ValueError:  # never computed, or without memory of its own
        return None


if __name__ == "__main__":
    main(*sys.argv[1:])
