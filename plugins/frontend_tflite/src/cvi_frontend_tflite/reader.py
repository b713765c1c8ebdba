"""From the bytes of a TFLite file to a `Model`.

The generated classes of the package `tflite` read a table wherever an offset points.
Python's checked buffer accesses turn a wild offset into an exception, which becomes a
ModelError here; counts are bounded, so that a damaged one cannot cost hours.
"""

from __future__ import annotations

import functools
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from cvi.errors import CviError, ModelError, UnsupportedError
from cvi.ir import Array
from cvi_frontend_tflite.schema import Model, Operator, Quantization, Tensor

MAX_ITEMS = 1 << 16
"""Most tensors, ops or buffers of a file, and most operands of an op."""

MAX_RANK = 8
_MAX_NAME = 1 << 12
DAMAGED = (
    struct.error,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    ArithmeticError,
    AssertionError,
    RecursionError,
    MemoryError,
)
"""What numpy, struct and flatbuffers raise when a file contradicts itself."""

T = TypeVar("T")


def read_model(data: bytes) -> Model:
    """The main subgraph. ModelError when the file is damaged."""
    import tflite

    try:
        root = tflite.Model.GetRootAsModel(data, 0)
        if root.Version() != 3:
            raise UnsupportedError(f"the file has version {root.Version()}; TFLite has 3")
        if not _count(root.SubgraphsLength()):
            raise ModelError("the file has no graph")
        return _Reader(data, root).model()
    except CviError:
        raise
    except DAMAGED as error:
        raise ModelError(
            f"the file is damaged ({type(error).__name__}: {error})",
            fix="download or export it again",
        ) from error


class _Reader:
    def __init__(self, data: bytes, root: Any) -> None:
        self._data, self._root = data, root
        self._graph = root.Subgraphs(0)

    def model(self) -> Model:
        graph = self._graph
        tensors = self._tensors()
        ends = range(len(tensors))
        signature = self._signature(ends)
        return Model(
            tensors=tensors,
            operators=self._operators(ends),
            inputs=_indices(graph.InputsAsNumpy(), ends, "an input of the network"),
            outputs=_indices(graph.OutputsAsNumpy(), ends, "an output of the network"),
            signature_inputs=signature[0],
            signature_outputs=signature[1],
            buffers=self._buffers(),
        )

    def _tensors(self) -> tuple[Tensor, ...]:
        tables = _items(self._graph.TensorsLength(), self._graph.Tensors)
        names = _unique([_text(t.Name()) or f"tensor_{i}" for i, t in enumerate(tables)])
        return tuple(_tensor(i, t, names[i]) for i, t in enumerate(tables))

    def _operators(self, ends: range) -> tuple[Operator, ...]:
        codes = _items(self._root.OperatorCodesLength(), self._root.OperatorCodes)
        names = [_op_name(code) for code in codes]
        tables = _items(self._graph.OperatorsLength(), self._graph.Operators)
        return tuple(_operator(i, table, names, ends) for i, table in enumerate(tables))

    def _buffers(self) -> dict[int, memoryview]:
        """The buffers that are not empty, by index."""
        found = {}
        view = memoryview(self._data)
        for i, table in enumerate(_items(self._root.BuffersLength(), self._root.Buffers)):
            content = table.DataAsNumpy()
            start, size = _outside(table)
            if start > 1:
                if start + size > len(self._data):
                    raise ModelError(f"buffer {i} lies outside of the file")
                found[i] = view[start : start + size]
            elif isinstance(content, np.ndarray) and content.size:
                found[i] = memoryview(content)  # type: ignore[arg-type]
        return found

    def _signature(self, ends: range) -> tuple[dict[int, str], dict[int, str]]:
        """Names of inputs and outputs from the first signature of the main subgraph."""
        definitions = _items(self._root.SignatureDefsLength(), self._root.SignatureDefs)
        for definition in definitions:
            if definition.SubgraphIndex() == 0:
                return (
                    _names(definition.InputsLength(), definition.Inputs, ends),
                    _names(definition.OutputsLength(), definition.Outputs, ends),
                )
        return {}, {}


def _count(count: int, limit: int = MAX_ITEMS) -> int:
    if not 0 <= count <= limit:
        raise ModelError(f"the file is damaged: a list of {count} entries")
    return count


def _items(count: int, item: Callable[[int], T | None]) -> list[T]:
    found = [item(i) for i in range(_count(count))]
    present = [entry for entry in found if entry is not None]
    if len(present) != len(found):
        raise ModelError("the file is damaged: an entry of a list is missing")
    return present


def _text(raw: bytes | None) -> str:
    """A name in printable characters."""
    text = (raw or b"")[:_MAX_NAME].decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else "_" for c in text)


def _unique(names: Sequence[str]) -> list[str]:
    """Names with _1, _2, … where the file has one several times."""
    counts, taken = Counter(names), set(names)
    used: Counter[str] = Counter()
    result = []
    for name in names:
        wanted = name
        while counts[name] > 1 and used[name] and wanted in taken:
            wanted = f"{name}_{used[name]}"
            used[name] += 1
        used[name] += not used[name]
        taken.add(wanted)
        result.append(wanted)
    return result


def _names(count: int, item: Callable[[int], Any], ends: range) -> dict[int, str]:
    entries = _items(count, item)
    found = {int(entry.TensorIndex()): _text(entry.Name()) for entry in entries}
    counts = Counter(found.values())
    return {i: name for i, name in found.items() if i in ends and name and counts[name] == 1}


def _outside(table: Any) -> tuple[int, int]:
    """Place and size of a buffer that lies behind the flatbuffer (files of many GiB)."""
    if not hasattr(table, "Offset"):
        return 0, 0
    return int(table.Offset()), int(table.Size())


def _indices(array: Any, ends: range, what: str) -> tuple[int, ...]:
    """A vector of tensor indices; flatbuffers gives 0 for an absent one."""
    indices = _integers(array)
    _count(len(indices))
    if any(i not in ends for i in indices):
        raise ModelError(f"{what} is a tensor that does not exist")
    return indices


def _integers(array: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in array) if isinstance(array, np.ndarray) else ()


def _tensor(index: int, table: Any, name: str) -> Tensor:
    shape, signature = (_integers(a) for a in (table.ShapeAsNumpy(), table.ShapeSignatureAsNumpy()))
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise ModelError("the file is damaged: a tensor has an impossible shape", where=name)
    return Tensor(
        index=index,
        name=name,
        shape=shape,
        signature=signature if len(signature) == len(shape) else shape,
        type=_types().get(table.Type(), f"type {table.Type()}"),
        buffer=table.Buffer(),
        quantization=_quantization(table.Quantization(), name),
        sparse=table.Sparsity() is not None,
        variable=bool(table.IsVariable()),
    )


def _quantization(table: Any, name: str) -> Quantization | None:
    scales = table.ScaleAsNumpy() if table is not None else None
    if not isinstance(scales, np.ndarray) or not scales.size:
        return None
    zeros = table.ZeroPointAsNumpy()
    if not isinstance(zeros, np.ndarray) or not zeros.size:
        zeros = np.zeros(scales.size, np.int64)
    if zeros.size == 1:
        zeros = np.repeat(zeros, scales.size)
    if zeros.size != scales.size or not _sane(scales, zeros):
        raise ModelError("the file is damaged: impossible scales or zero points", where=name)
    return Quantization(scales.astype(np.float32), zeros, int(table.QuantizedDimension()))


def _sane(scales: Array, zeros: Array) -> bool:
    limit = 1 << 16
    good = np.isfinite(scales).all() and (scales >= 0).all() and scales.max() < 1e30
    return bool(good and (np.abs(zeros.astype(np.float64)) <= limit).all())


def _operator(index: int, table: Any, names: Sequence[tuple[str, bool]], ends: range) -> Operator:
    code = table.OpcodeIndex()
    if code >= len(names):
        raise ModelError("the file is damaged: an op has no code", where=f"op {index}")
    name, custom = names[code]
    inputs = _integers(table.InputsAsNumpy())
    if len(inputs) > MAX_ITEMS or any(i not in ends and i != -1 for i in inputs):
        raise ModelError(f"op {index} ({name}) reads a tensor that does not exist")
    return Operator(
        index=index,
        name=name,
        inputs=inputs,
        outputs=_indices(table.OutputsAsNumpy(), ends, f"a result of op {index} ({name})"),
        options=_options(table),
        custom=custom,
    )


def _options(table: Any) -> Any:
    import tflite

    content, name = table.BuiltinOptions(), _option_classes().get(table.BuiltinOptionsType())
    if content is None or name is None:
        return None
    options = getattr(tflite, name)()
    options.Init(content.Bytes, content.Pos)
    return options


def _op_name(code: Any) -> tuple[str, bool]:
    """Name of an op code, and whether it is a custom one."""
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _ops().get(number, f"op {number}")
    if name == "CUSTOM":
        return _text(code.CustomCode()) or "CUSTOM", True
    return name, False


def _names_of(kind: str) -> dict[int, str]:
    """Number -> name of an enumeration of the schema."""
    import tflite

    values = vars(getattr(tflite, kind))
    return {v: k for k, v in values.items() if isinstance(v, int) and not k.startswith("_")}


@functools.cache
def _ops() -> dict[int, str]:
    return _names_of("BuiltinOperator")


@functools.cache
def _types() -> dict[int, str]:
    return _names_of("TensorType")


@functools.cache
def _option_classes() -> dict[int, str]:
    return _names_of("BuiltinOptions")
