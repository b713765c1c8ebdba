"""Ops that onnxruntime does not know: what the reference does with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import make_model, node

from cvi.errors import InputError
from cvi.ir import Array
from cvi_frontend_onnx.foreign import foreign_tensors
from cvi_frontend_onnx.frontend import OnnxFrontend

X = np.linspace(-2, 2, 6, dtype=np.float32).reshape(1, 6)


def network(folder: Path, *, batch: int | str = 1) -> Path:
    """x -> Relu r -> acme.Odd (u, v) -> Add s of u and r, Neg t of v, Abs w of x; the nodes
    stand in the wrong order, which onnx forbids and our importer takes."""
    model = make_model(
        [
            node("Add", ["u", "r"], ["s"]),
            node("Neg", ["v"], ["t"]),
            node("Odd", ["r"], ["u", "v"], domain="acme"),
            node("Relu", ["x"], ["r"]),
            node("Abs", ["x"], ["w"]),
        ],
        {"x": [batch, 6]},
        ["s", "t", "w"],
    )
    model.opset_import.append(helper.make_opsetid("acme", 1))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def reference(path: Path, inputs: dict[str, Array], *tensors: str) -> dict[str, Array]:
    return OnnxFrontend().reference(path, inputs, tensors=tensors or None)


def test_foreign_tensors(tmp_path: Path) -> None:
    assert list(OnnxFrontend().foreign(network(tmp_path))) == ["u", "v"]


def test_what_depends_on_them_is_left_out(tmp_path: Path) -> None:
    found = reference(network(tmp_path), {"x": X})
    assert set(found) == {"r", "w"}
    np.testing.assert_array_equal(found["w"], np.abs(X))


def test_given_values_lead_further(tmp_path: Path) -> None:
    """What is computed behind them comes from onnxruntime, and from the given value."""
    u = np.full((1, 6), 10, np.float32)
    found = reference(network(tmp_path), {"x": X, "u": u}, "x", "s", "t", "u", "w")
    assert set(found) == {"x", "s", "w"}
    np.testing.assert_array_equal(found["s"], np.maximum(X, 0) + 10)


def test_batches_in_turns_end_before_them(tmp_path: Path) -> None:
    many = np.concatenate([X, 2 * X])
    found = reference(network(tmp_path), {"x": many, "u": many})
    assert set(found) == {"r", "w"}
    np.testing.assert_array_equal(found["r"], np.maximum(many, 0))


def test_free_batches_go_on(tmp_path: Path) -> None:
    many = np.concatenate([X, 2 * X])
    found = reference(network(tmp_path, batch="n"), {"x": many, "u": many}, "s")
    np.testing.assert_array_equal(found["s"], np.maximum(many, 0) + many)


def test_other_inputs_are_still_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="given are x, r"):
        reference(network(tmp_path), {"x": X, "r": X})


def test_functions_of_the_model_are_known() -> None:
    """onnxruntime computes them by their definition."""
    model = make_model([node("Twice", ["x"], ["y"], domain="own")], {"x": [1, 6]}, ["y"])
    assert foreign_tensors(model) == ("y",)
    body = [node("Add", ["a", "a"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], body, opsets))
    assert foreign_tensors(model) == ()


def test_ops_of_onnxruntime_are_known() -> None:
    nodes = [node("Gelu", ["x"], ["y"], domain="com.microsoft"), node("Relu", ["y"], ["z"])]
    assert foreign_tensors(make_model(nodes, {"x": [1, 6]}, ["z"])) == ()
    own: onnx.ModelProto = make_model([node("Made", ["x"], ["y"])], {"x": [1, 6]}, ["y"])
    assert foreign_tensors(own) == ("y",)
