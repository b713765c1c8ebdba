# ruff: noqa: RUF009  `slot` declares a field
"""The tables of a `.cvimodel` description as dataclasses (FACTS_CVIMODEL 2).

The order of the slots is the order of the schema and must not change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from cvi.errors import ModelError
from cvi.ir.types import DType, Shape
from cvi_tpu.model.flat import (
    BOOL,
    F32,
    I64,
    U32,
    Blob,
    Boxed,
    Bytes3,
    Table,
    Text,
    Vector,
    enum_u8,
    slot,
)

ADDRESS_BITS = 40
NO_MEMORY = -1
"""Offset of a tensor without device memory."""


class Element(Enum):
    """Element type numbers of the file."""

    FP32 = 0
    INT32 = 1
    UINT32 = 2
    BF16 = 3
    INT16 = 4
    UINT16 = 5
    INT8 = 6
    UINT8 = 7

    @property
    def dtype(self) -> DType:
        return DType[self.name]

    @classmethod
    def of(cls, dtype: DType) -> Element:
        try:
            return cls[dtype.name]
        except KeyError:
            raise ModelError(f"a cvimodel cannot hold {dtype.value} tensors") from None


class QuantKind(Enum):
    NONE = 0
    BF16 = 1
    INT8_SYM = 2
    INT8_ASYM = 3


class RoutineKind(Enum):
    TPU = 0
    CPU = 1


class SectionKind(Enum):
    """What a section holds: weights, commands, or code of CPU functions."""

    WEIGHT = 0
    CMDBUF = 1
    X86 = 2
    AARCH64 = 3
    DMABUF = 4


def gmem(region: int, address: int) -> int:
    """File form of byte `address` in memory region `region` (FACTS_CVIMODEL 4)."""
    return region << ADDRESS_BITS | address


def region_of(offset: int) -> int:
    """Base register 0..7 of a tensor or weight offset."""
    return offset >> ADDRESS_BITS & 7


def address_of(offset: int) -> int:
    """Byte address of a tensor or weight offset inside its region."""
    return offset & (1 << ADDRESS_BITS) - 1


def four_dims(shape: Shape) -> tuple[int, int, int, int]:
    """A shape of any rank as the runtime sees it, (n, c, h, w): missing dims are 1 at the
    end, surplus dims are merged into w."""
    n, c, h, *rest = (*shape, 1, 1, 1)
    return n, c, h, math.prod(rest)


@dataclass(frozen=True, kw_only=True)
class QuantInfo:
    """Scale of a tensor. qscale: inputs are multiplied by it to become integers, outputs
    to become real values (FACTS_CVIMODEL 5)."""

    kind: QuantKind = slot(enum_u8(QuantKind), QuantKind.NONE)
    max_value: float = slot(F32, 0.0)
    min_value: float = slot(F32, 0.0)
    zero_point: float = slot(F32, 0.0)
    qscale: float = slot(F32, 0.0)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a program.

    offset: region and address (`gmem`), or `NO_MEMORY`. overwrote: the memory is reused
    before the program ends. aligned: the bytes are `size`, rows and planes being padded.
    """

    tensor_id: int = slot(U32, 0)
    name: str = slot(Text())
    offset: int = slot(I64, 0)
    element: Element = slot(enum_u8(Element), Element.FP32)
    shape: tuple[int, ...] = slot(Boxed(Vector(I64)))
    stride: tuple[int, ...] | None = slot(Boxed(Vector(I64)), None)
    quant: QuantInfo | None = slot(Table(QuantInfo), None)
    overwrote: bool = slot(BOOL, False)
    scale: tuple[float, ...] | None = slot(Vector(F32), None)
    mean: tuple[float, ...] | None = slot(Vector(F32), None)
    pixel_format: str | None = slot(Text(), None)
    aligned: bool = slot(BOOL, False)
    size: int = slot(U32, 0)

    @property
    def dtype(self) -> DType:
        return self.element.dtype

    @property
    def has_memory(self) -> bool:
        return self.offset != NO_MEMORY

    @property
    def region(self) -> int:
        return region_of(self.offset)

    @property
    def address(self) -> int:
        return address_of(self.offset)

    @property
    def qscale(self) -> float:
        return 1.0 if self.quant is None else self.quant.qscale

    @property
    def zero_point(self) -> int:
        return 0 if self.quant is None else int(self.quant.zero_point)

    @property
    def bytes(self) -> int:
        """Bytes in memory; only the first four dimensions count."""
        if self.aligned:
            return self.size
        return math.prod(self.shape[:4]) * self.dtype.size


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A named piece of the weight section."""

    name: str = slot(Text())
    offset: int = slot(I64, 0)
    size: int = slot(U32, 0)
    shape: tuple[int, ...] | None = slot(Boxed(Vector(I64)), None)
    element: Element = slot(enum_u8(Element), Element.FP32)


@dataclass(frozen=True, kw_only=True)
class TpuRoutine:
    """Names of the sections with the commands: one of the two is given."""

    cmdbuf: str | None = slot(Text(), None)
    dmabuf: str | None = slot(Text(), None)


@dataclass(frozen=True, kw_only=True)
class CpuRoutine:
    """A function of the runtime; args: see `arguments.py`."""

    function: str = slot(Text())
    args: bytes = slot(Blob(), b"")


@dataclass(frozen=True, kw_only=True)
class Routine:
    """One step of a program; inputs and outputs are names of tensors (or weights)."""

    kind: RoutineKind = slot(enum_u8(RoutineKind), RoutineKind.TPU)
    inputs: tuple[str, ...] = slot(Vector(Text()))
    outputs: tuple[str, ...] = slot(Vector(Text()))
    tpu: TpuRoutine | None = slot(Table(TpuRoutine), None)
    cpu: CpuRoutine | None = slot(Table(CpuRoutine), None)


@dataclass(frozen=True, kw_only=True)
class Program:
    """Routines run in order, for one batch size or resolution.

    shared_gmem, private_gmem: bytes of the regions 0 and 2. neuron_size: bytes of the
    one block that older files use for both (then the other two are ignored).
    """

    batch: int = slot(U32, 0)
    neuron_size: int = slot(U32, 0)
    inputs: tuple[str, ...] = slot(Vector(Text()))
    outputs: tuple[str, ...] = slot(Vector(Text()))
    tensors: tuple[Tensor, ...] = slot(Vector(Table(Tensor)))
    routines: tuple[Routine, ...] = slot(Vector(Table(Routine)))
    shared_gmem: int = slot(U32, 0)
    private_gmem: int = slot(U32, 0)

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name (of several the last, as the runtime has it)."""
        for tensor in reversed(self.tensors):
            if tensor.name == name:
                return tensor
        raise ModelError("a program uses a tensor that it does not declare", where=name)


@dataclass(frozen=True, kw_only=True)
class PreprocessHints:
    color: str | None = slot(Text(), None)
    raw_scale: float = slot(F32, 0.0)
    mean: str | None = slot(Text(), None)
    std: str | None = slot(Text(), None)
    input_scale: float = slot(F32, 0.0)
    data_format: str | None = slot(Text(), None)


@dataclass(frozen=True, kw_only=True)
class PostprocessHints:
    done_softmax: bool = slot(BOOL, False)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A named piece of the payload.

    data: the bytes as they lie in the file (compressed when `compress`); `content` gives
    them unpacked. size and offset are set by the writer; they are not compared.
    """

    kind: SectionKind = slot(enum_u8(SectionKind), SectionKind.WEIGHT)
    name: str = slot(Text())
    size: int = field(default=0, compare=False, metadata={"kind": U32})
    offset: int = field(default=0, compare=False, metadata={"kind": U32})
    encrypt: bool = slot(BOOL, False)
    compress: bool = slot(BOOL, False)
    decompressed_size: int = slot(U32, 0)
    data: bytes = field(default=b"", repr=False)

    def content(self) -> bytes:
        """The bytes, unpacked when this is a compressed LZ4 block (FACTS_CVIMODEL 3)."""
        if self.encrypt:
            raise ModelError("the section is encrypted", where=f"section {self.name}")
        if not self.compress or self.kind is SectionKind.WEIGHT:
            return self.data
        return _unpack(self)


def _unpack(section: Section) -> bytes:
    import lz4.block

    where = f"section {section.name}"
    size = section.decompressed_size
    # one LZ4 length byte stands for at most 255 bytes
    if size > 255 * len(section.data) + 64:
        raise ModelError(f"{len(section.data)} bytes cannot unpack to {size}", where=where)
    try:
        data = bytes(lz4.block.decompress(section.data, uncompressed_size=size))
    except (lz4.block.LZ4BlockError, ValueError, MemoryError):
        raise ModelError("the LZ4 block is broken", where=where) from None
    if len(data) != size:
        raise ModelError(f"the LZ4 block unpacks to {len(data)} bytes, not {size}", where=where)
    return data


@dataclass(frozen=True, kw_only=True)
class CviModelFile:
    """A whole `.cvimodel` file.

    chip: the name in the header, which selects the simulator and the hardware check.
    intact: whether the MD5 of the header fitted when the file was read.
    """

    version: tuple[int, int, int] = slot(Bytes3(), (1, 4, 0))
    name: str = slot(Text())
    build_time: str = slot(Text(), "")
    preprocess_hints: PreprocessHints | None = slot(Table(PreprocessHints), None)
    postprocess_hints: PostprocessHints | None = slot(Table(PostprocessHints), None)
    weight_map: tuple[Weight, ...] = slot(Vector(Table(Weight)), ())
    programs: tuple[Program, ...] = slot(Vector(Table(Program)))
    sections: tuple[Section, ...] = slot(Vector(Table(Section)))
    target: str | None = slot(Text(), None)
    mlir_version: str | None = slot(Text(), None)
    chip: str = ""
    intact: bool = field(default=True, compare=False)

    def section(self, name: str) -> Section:
        """The first section of that name."""
        for section in self.sections:
            if section.name == name:
                return section
        raise ModelError("a routine names a section that the file does not have", where=name)

    def weights(self) -> bytes:
        """Content of the weight section, empty when there is none."""
        for section in self.sections:
            if section.kind is SectionKind.WEIGHT:
                return section.content()
        return b""


__all__ = [
    "NO_MEMORY",
    "CpuRoutine",
    "CviModelFile",
    "Element",
    "PostprocessHints",
    "PreprocessHints",
    "Program",
    "QuantInfo",
    "QuantKind",
    "Routine",
    "RoutineKind",
    "Section",
    "SectionKind",
    "Tensor",
    "TpuRoutine",
    "Weight",
    "address_of",
    "gmem",
    "region_of",
]
