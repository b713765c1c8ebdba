"""TensorFlow's own formats, where TensorFlow is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cvi.errors import ModelError
from cvi.execute import evaluate
from cvi_frontend_tflite.frontend import TfliteFrontend
from cvi_frontend_tflite.process import run_module

FRONTEND = TfliteFrontend()

MAKE = """
import sys
import tensorflow as tf

folder = sys.argv[1]
layers = tf.keras.layers
pixels = tf.keras.Input((8, 8, 3))
x = layers.Conv2D(4, 3, padding="same", activation="relu")(pixels)
x = layers.Dense(5, activation="softmax")(layers.Flatten()(x))
model = tf.keras.Model(pixels, x)
model.save(folder + "/net.keras")
model.save(folder + "/net.h5")
model.export(folder + "/saved")
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2 as frozen,
)
call = tf.function(model).get_concrete_function(tf.TensorSpec((1, 8, 8, 3)))
tf.io.write_graph(frozen(call).graph, folder, "net.pb", as_text=False)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network in every format, made in a process of its own."""
    import importlib.util
    import subprocess

    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    here = tmp_path_factory.mktemp("tensorflow")
    subprocess.run(
        [sys.executable, "-c", MAKE, str(here)], check=True, timeout=600, capture_output=True
    )
    return here


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net.keras", "net.h5", "saved", "saved/saved_model.pb", "net.pb"])
def test_every_format_agrees_with_tensorflow(folder: Path, name: str) -> None:
    path = folder / name
    assert FRONTEND.accepts(path)
    graph = FRONTEND.load(path)
    (image,) = graph.inputs
    assert image.type.shape == (1, 3, 8, 8)
    x = np.random.default_rng(0).uniform(-1, 1, image.type.shape).astype(np.float32)
    shown = FRONTEND.reference(path, {image.source: x})
    values = evaluate(graph, {image.name: x}, keep=True)
    compared = [op for op in graph.ops if op.source in shown]
    assert len(compared) >= 4
    for op in compared:
        np.testing.assert_allclose(values[op.name], shown[op.source], atol=1e-5)


@pytest.mark.slow
def test_damaged_file_is_one_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.h5").write_bytes((folder / "net.h5").read_bytes()[:2000])
    with pytest.raises(ModelError, match="TensorFlow cannot convert it"):
        FRONTEND.load(tmp_path / "cut.h5")


def test_process_that_fails_tells_why() -> None:
    assert run_module("this", [], 60) is None
    assert "No module named" in (run_module("cvi_frontend_tflite.nothing", [], 60) or "")
    assert run_module("timeit", ["import time; time.sleep(99)"], 0.5) == "no answer within 0.5 s"
    died = run_module("timeit", ["-n1", "import os; os.kill(os.getpid(), 9)"], 60)
    assert died == "it died of SIGKILL"
