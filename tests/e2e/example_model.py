"""A small model with the ops of examples/plugins, and inputs for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 3, 12, 10)


def save_model(path: Path) -> None:
    """x -> three convolutions -> acme.Blend -> convolution -> acme.UnitMax."""
    weights = {"wa": (8, 3, 3, 3), "wb": (8, 3, 3, 3), "wm": (1, 3, 3, 3), "wz": (4, 8, 1, 1)}
    padded = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "wa"], ["a"], **padded),
        helper.make_node("Conv", ["x", "wb"], ["b"], **padded),
        helper.make_node("Conv", ["x", "wm"], ["c"], **padded),
        helper.make_node("Sigmoid", ["c"], ["m"]),
        helper.make_node("Blend", ["a", "b", "m"], ["y"], domain="acme"),
        helper.make_node("Conv", ["y", "wz"], ["z"]),
        helper.make_node("UnitMax", ["z"], ["u"], domain="acme", floor=0.5),
    ]
    rng = np.random.default_rng(3)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("u", TensorProto.FLOAT, (1, 4, 12, 10))],
        [_weight(rng, name, shape) for name, shape in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))


def _weight(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> TensorProto:
    return numpy_helper.from_array((rng.normal(size=shape) * 0.4).astype(np.float32), name)


def save_samples(folder: Path, count: int) -> None:
    """Inputs as one .npz file each."""
    folder.mkdir()
    rng = np.random.default_rng(4)
    for i in range(count):
        np.savez(folder / f"{i}.npz", x=rng.normal(size=SHAPE).astype(np.float32))
