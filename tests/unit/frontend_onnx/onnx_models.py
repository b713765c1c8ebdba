"""Small models for the tests of the ONNX frontend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cvi.ir import Array

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A function that writes a small model and returns its path."""

    def write(
        nodes: Sequence[onnx.NodeProto],
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Sequence[str],
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
        dtype: int = onnx.TensorProto.FLOAT,
        name: str = "model.onnx",
    ) -> Path:
        model = make_model(nodes, inputs, outputs, constants, opset, dtype)
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return write


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, Array] | None = None,
    opset: int = 17,
    dtype: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model with untyped outputs."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(n, dtype, list(s)) for n, s in inputs.items()],
        [helper.make_empty_tensor_value_info(n) for n in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    return helper.make_node(op_type, list(inputs), list(outputs), **attributes)
