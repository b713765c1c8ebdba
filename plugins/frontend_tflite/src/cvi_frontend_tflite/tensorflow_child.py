"""Converts a TensorFlow model to TFLite, in a process of its own.

python -m cvi_frontend_tflite.tensorflow_child KIND PATH RESULT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def main(kind: str, path: str, result: str) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    converter = {"saved-model": _saved_model, "keras": _keras, "frozen-graph": _frozen}[kind](path)
    Path(result).write_bytes(converter.convert())


def _saved_model(path: str) -> Any:
    import tensorflow

    return tensorflow.lite.TFLiteConverter.from_saved_model(path)


def _keras(path: str) -> Any:
    """Layers that hold Python code are refused by Keras itself (safe mode)."""
    import tensorflow

    model = tensorflow.keras.models.load_model(path, compile=False, safe_mode=True)
    return tensorflow.lite.TFLiteConverter.from_keras_model(model)


def _frozen(path: str) -> Any:
    """Inputs are the placeholders, outputs the nodes that nobody reads."""
    import tensorflow

    graph = tensorflow.compat.v1.GraphDef()
    graph.ParseFromString(Path(path).read_bytes())
    read = {name.lstrip("^").split(":")[0] for node in graph.node for name in node.input}
    inputs = [node.name for node in graph.node if node.op == "Placeholder"]
    idle = ("Placeholder", "Const", "NoOp")
    outputs = [n.name for n in graph.node if n.name not in read and n.op not in idle]
    return tensorflow.compat.v1.lite.TFLiteConverter.from_frozen_graph(path, inputs, outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
