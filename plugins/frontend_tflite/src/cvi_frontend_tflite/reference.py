"""Reference inference: the model itself in TensorFlow Lite's interpreter."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from cvi.errors import InputError, ModelError, PluginError, UnsupportedError
from cvi.files import scratch_folder
from cvi.ir import Array
from cvi_frontend_tflite.importer import Importer
from cvi_frontend_tflite.mended import mended
from cvi_frontend_tflite.process import run_module
from cvi_frontend_tflite.reader import read_model
from cvi_frontend_tflite.registry import all_converters
from cvi_frontend_tflite.schema import Model, Tensor
from cvi_frontend_tflite.tensors import FLOATS, numpy_type
from cvi_frontend_tflite.values import Order, inverse

_TIMEOUT = 600.0


def run_reference(
    data: bytes, inputs: Mapping[str, Array], tensors: Sequence[str] | None
) -> dict[str, Array]:
    """The asked tensors (None: all that are computed) by name, as real numbers and in the
    order of dimensions in which the imported graph holds them.

    A batch that is a multiple of the model's own is run in turns and joined along
    dimension 0. Inputs are rounded to the integers of a full-integer model.
    """
    _require_interpreter()
    model = read_model(data)
    turns, orders = _turns(model, inputs)
    by_name = {t.name: t for t in model.tensors}
    names = list(orders) if tensors is None else list(tensors)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise InputError(f"the model has no tensor {', '.join(unknown)}")
    stored = _run(mended(data, model), turns, [by_name[n].index for n in names if n in orders])
    found = {}
    for name in names:
        parts = stored.get(by_name[name].index)
        if parts is not None and parts.ndim - 1 == len(orders[name]):
            whole = np.concatenate(list(parts)) if parts.ndim > 1 else parts[0]
            found[name] = _real(whole, by_name[name]).transpose(orders[name])
    return found


def _require_interpreter() -> None:
    if not any(map(importlib.util.find_spec, ("ai_edge_litert", "tensorflow"))):
        raise PluginError(
            "the comparison needs TensorFlow Lite's interpreter, which is not installed",
            fix='pip install "cvi-frontend-tflite[reference]", or --no-verify',
        )


def _turns(model: Model, inputs: Mapping[str, Array]) -> tuple[dict[int, Array], dict[str, Order]]:
    """Stored inputs by tensor index with one entry per turn in front, and the order in
    which the graph holds every tensor."""
    names = {model.tensors[t].name: t for t in model.inputs}
    if set(names) != set(inputs):
        raise InputError(
            f"the model's inputs are {', '.join(names)}, given are {', '.join(inputs)}"
        )
    orders = _orders(model, {model.input_name(t): inputs[n].shape for n, t in names.items()})
    arrays = {t: np.asarray(inputs[n]).transpose(inverse(orders[n])) for n, t in names.items()}
    count = _turn_count([(model.tensors[t].shape, a.shape) for t, a in arrays.items()])
    return {
        t: np.stack([_stored(part, model.tensors[t]) for part in np.split(a, count)])
        if a.ndim
        else _stored(a, model.tensors[t])[None]
        for t, a in arrays.items()
    }, orders


def _orders(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Order]:
    importer = Importer(model, all_converters(), name="")
    with suppress(UnsupportedError):  # the graph was cut before what is not supported
        importer.run(input_shapes=shapes)
    return importer.orders()


def _turn_count(shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> int:
    """How often the model's own batch goes into the given one, 1 if it does not."""
    counts = {
        given[0] // own[0] if own and own[0] and given[0] % own[0] == 0 else 1
        for own, given in shapes
    }
    return counts.pop() if len(counts) == 1 else 1


def _stored(array: Array, tensor: Tensor) -> Array:
    """Real numbers in the type of an input, rounded half away from zero and saturated."""
    dtype = numpy_type(tensor)
    q = tensor.quantization
    if q is None or tensor.type in FLOATS:
        return np.ascontiguousarray(array, dtype)
    scaled = array.astype(np.float64) / float(q.scales[0])
    rounded = np.trunc(scaled + np.copysign(0.5, scaled)) + int(q.zero_points[0])
    limits: np.iinfo[Any] = np.iinfo(dtype)
    return np.ascontiguousarray(np.clip(rounded, limits.min, limits.max), dtype)


def _real(array: Array, tensor: Tensor) -> Array:
    q = tensor.quantization
    if q is None or not q.per_tensor or array.dtype.kind not in "iu":
        return array.astype(np.float32)
    shifted = array.astype(np.float32) - np.float32(q.zero_points[0])
    return np.asarray(shifted * np.float32(q.scales[0]))


def _run(data: bytes, feeds: Mapping[int, Array], tensors: Sequence[int]) -> dict[int, Array]:
    with scratch_folder() as folder:
        (folder / "model.tflite").write_bytes(data)
        np.savez(folder / "feeds.npz", **{str(i): a for i, a in feeds.items()})  # type: ignore[arg-type]
        files = [str(folder / file) for file in ("model.tflite", "feeds.npz", "results.npz")]
        wanted = ",".join(map(str, sorted(set(tensors))))
        said = run_module("cvi_frontend_tflite.interpreter_child", [*files, wanted], _TIMEOUT)
        if said is not None:
            raise ModelError(
                f"TensorFlow Lite cannot run it: {said}", fix="export it again, or --no-verify"
            )
        with np.load(files[2], allow_pickle=False) as stored:
            return {int(index): stored[index] for index in stored.files}
