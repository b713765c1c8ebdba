"""Writes small TFLite files: tensors, ops with options, scales and signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

from cvi.ir import Array

SAME, VALID = 0, 1
RELU, RELU_N1_TO_1, RELU6, TANH = 1, 2, 3, 4
_TYPES = {
    "float32": "FLOAT32", "float16": "FLOAT16", "int8": "INT8", "uint8": "UINT8",
    "int32": "INT32", "int64": "INT64", "bool": "BOOL", "int16": "INT16",
}  # fmt: skip


@dataclass(frozen=True)
class Scales:
    """Quantisation of a tensor."""

    scales: Sequence[float]
    zero_points: Sequence[int] = (0,)
    axis: int = 0


@dataclass
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: str
    buffer: int = 0
    scales: Scales | None = None
    signature: tuple[int, ...] = ()
    variable: bool = False


@dataclass
class _Operator:
    name: str
    inputs: list[int]
    outputs: list[int]
    options: tuple[str, Mapping[str, Any]] | None
    custom: bool
    version: int


@dataclass
class Net:
    """A file under construction; tensors are known by their indices."""

    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)
    buffers: list[bytes] = field(default_factory=lambda: [b""])
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    signature: tuple[dict[str, int], dict[str, int]] | None = None

    def tensor(self, name: str, shape: Sequence[int], type: str, **more: Any) -> int:
        self.tensors.append(_Tensor(name, tuple(shape), type, **more))
        return len(self.tensors) - 1

    def input(
        self,
        *shape: int,
        name: str = "x",
        type: str = "FLOAT32",
        scales: Scales | None = None,
        signature: Sequence[int] = (),
    ) -> int:
        index = self.tensor(name, shape, type, scales=scales, signature=tuple(signature))
        self.inputs.append(index)
        return index

    def const(self, values: Any, *, name: str = "", scales: Scales | None = None) -> int:
        """Integers become int32, reals fp32; arrays keep their type."""
        array = np.asarray(values)
        if not isinstance(values, (np.ndarray, np.generic)):
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
        self.buffers.append(array.tobytes())
        wanted = name or f"const_{len(self.tensors)}"
        return self.tensor(
            wanted, array.shape, _TYPES[array.dtype.name],
            buffer=len(self.buffers) - 1, scales=scales,
        )  # fmt: skip

    def op(
        self,
        name: str,
        *inputs: int,
        options: str = "",
        results: int = 1,
        type: str = "FLOAT32",
        scales: Scales | None = None,
        custom: bool = False,
        named: str = "",
        version: int = 1,
        **fields: Any,
    ) -> Any:
        """The index of the result, or of all results. fields: of the options' table."""
        base = named or f"t{len(self.operators)}"
        names = [base] if results == 1 else [f"{base}:{i}" for i in range(results)]
        outputs = [self.tensor(n, (), type, scales=scales) for n in names]
        chosen = (options, fields) if options else None
        self.operators.append(_Operator(name, list(inputs), outputs, chosen, custom, version))
        return outputs[0] if results == 1 else outputs

    def done(self, *outputs: int) -> bytes:
        self.outputs = list(outputs) or self.outputs
        return _Writer(self).file()

    def save(self, path: Path, *outputs: int) -> Path:
        path.write_bytes(self.done(*outputs))
        return path


class _Writer:
    def __init__(self, net: Net) -> None:
        self.net, self.b = net, flatbuffers.Builder(1024)

    def file(self) -> bytes:
        b, net = self.b, self.net
        buffers = self._offsets([self._buffer(data) for data in net.buffers])
        kinds = list(dict.fromkeys((op.name, op.custom, op.version) for op in net.operators))
        codes = self._offsets([self._code(*kind) for kind in kinds])
        graphs = self._offsets([self._graph(kinds)])
        signatures = self._signatures()
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, buffers)
        if signatures is not None:
            tflite.ModelAddSignatureDefs(b, signatures)
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())

    def _buffer(self, data: bytes) -> int:
        vector = self.b.CreateNumpyVector(np.frombuffer(data, np.uint8)) if data else None
        tflite.BufferStart(self.b)
        if vector is not None:
            tflite.BufferAddData(self.b, vector)
        return int(tflite.BufferEnd(self.b))

    def _code(self, name: str, custom: bool, version: int) -> int:
        text = self.b.CreateString(name) if custom else None
        number = tflite.BuiltinOperator.CUSTOM if custom else getattr(tflite.BuiltinOperator, name)
        tflite.OperatorCodeStart(self.b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self.b, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(self.b, number)
        tflite.OperatorCodeAddVersion(self.b, version)
        if text is not None:
            tflite.OperatorCodeAddCustomCode(self.b, text)
        return int(tflite.OperatorCodeEnd(self.b))

    def _graph(self, kinds: list[tuple[str, bool, int]]) -> int:
        net, b = self.net, self.b
        tensors = self._offsets([self._tensor(t) for t in net.tensors])
        operators = self._offsets(
            [
                self._operator(op, kinds.index((op.name, op.custom, op.version)))
                for op in net.operators
            ]
        )
        inputs, outputs = self._ints(net.inputs), self._ints(net.outputs)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, outputs)
        tflite.SubGraphAddOperators(b, operators)
        return int(tflite.SubGraphEnd(b))

    def _tensor(self, t: _Tensor) -> int:
        b = self.b
        name, shape = b.CreateString(t.name), self._ints(t.shape)
        signature = self._ints(t.signature) if t.signature else None
        scales = self._scales(t.scales) if t.scales else None
        tflite.TensorStart(b)
        tflite.TensorAddName(b, name)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, getattr(tflite.TensorType, t.type))
        tflite.TensorAddBuffer(b, t.buffer)
        if scales is not None:
            tflite.TensorAddQuantization(b, scales)
        tflite.TensorAddIsVariable(b, t.variable)
        if signature is not None:
            tflite.TensorAddShapeSignature(b, signature)
        return int(tflite.TensorEnd(b))

    def _scales(self, s: Scales) -> int:
        b = self.b
        scales = b.CreateNumpyVector(np.asarray(s.scales, np.float32))
        zeros = b.CreateNumpyVector(np.asarray(s.zero_points, np.int64))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scales)
        tflite.QuantizationParametersAddZeroPoint(b, zeros)
        tflite.QuantizationParametersAddQuantizedDimension(b, s.axis)
        return int(tflite.QuantizationParametersEnd(b))

    def _operator(self, op: _Operator, code: int) -> int:
        b = self.b
        options = self._options(*op.options) if op.options else None
        inputs, outputs = self._ints(op.inputs), self._ints(op.outputs)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, code)
        tflite.OperatorAddInputs(b, inputs)
        tflite.OperatorAddOutputs(b, outputs)
        if op.options and options is not None:
            kind = getattr(tflite.BuiltinOptions, op.options[0])
            tflite.OperatorAddBuiltinOptionsType(b, kind)
            tflite.OperatorAddBuiltinOptions(b, options)
        return int(tflite.OperatorEnd(b))

    def _options(self, name: str, fields: Mapping[str, Any]) -> int:
        values = {k: self._ints(v) if isinstance(v, tuple) else v for k, v in fields.items()}
        getattr(tflite, f"{name}Start")(self.b)
        for key, value in values.items():
            getattr(tflite, f"{name}Add{key}")(self.b, value)
        return int(getattr(tflite, f"{name}End")(self.b))

    def _signatures(self) -> int | None:
        if self.net.signature is None:
            return None
        b = self.b
        key = b.CreateString("serving_default")
        inputs, outputs = (
            self._offsets([self._map(n, t) for n, t in part.items()]) for part in self.net.signature
        )
        tflite.SignatureDefStart(b)
        tflite.SignatureDefAddInputs(b, inputs)
        tflite.SignatureDefAddOutputs(b, outputs)
        tflite.SignatureDefAddSignatureKey(b, key)
        return self._offsets([int(tflite.SignatureDefEnd(b))])

    def _map(self, name: str, tensor: int) -> int:
        text = self.b.CreateString(name)
        tflite.TensorMapStart(self.b)
        tflite.TensorMapAddName(self.b, text)
        tflite.TensorMapAddTensorIndex(self.b, tensor)
        return int(tflite.TensorMapEnd(self.b))

    def _ints(self, values: Sequence[int]) -> int:
        return int(self.b.CreateNumpyVector(np.asarray(values, np.int32)))

    def _offsets(self, offsets: Sequence[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())


def random(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)
