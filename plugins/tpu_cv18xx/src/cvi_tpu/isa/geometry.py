"""Where operands lie: byte ranges of tensors and matrices, and the checks on them.

A range is (start, end) in bytes: offsets inside a lane for local memory (the hull over all
lanes it touches), addresses inside a region for DRAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi_tpu.isa.errors import InstructionError, require
from cvi_tpu.isa.operands import Dram, Local, Matrix, Shape4, ceil_div, local_strides

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

Span = tuple[int, int]

TDMA_MAX_DIM = 65535
TDMA_MAX_BF16_WIDTH = 32767
UPPER_ADDRESS = 0xFF0000  # the address bits that opd1 and opd2 share with the result


def lane_of(address: int, spec: ChipSpec) -> int:
    return address // spec.lane_bytes


def groups(address: int, channels: int, spec: ChipSpec) -> int:
    """Channel groups that a tensor of `channels` spreads over in its busiest lane."""
    return ceil_div(lane_of(address, spec) + channels, spec.lanes)


def local_span(tensor: Local, spec: ChipSpec) -> Span:
    """Offsets of the low (or only) byte plane of a tensor."""
    n, c, h, w = tensor.shape
    sn, sc, sh, sw = tensor.strides
    start = tensor.address % spec.lane_bytes
    last = (n - 1) * sn + (groups(tensor.address, c, spec) - 1) * sc + (h - 1) * sh + (w - 1) * sw
    return start, start + last + tensor.element_bytes


def matrix_span(matrix: Matrix, spec: ChipSpec, rows: int | None = None) -> Span:
    """Offsets of `rows` (all when None) rows of a matrix, padding columns included."""
    start = matrix.address % spec.lane_bytes
    row, group = matrix.strides
    count = matrix.rows if rows is None else rows
    last = (count - 1) * row + (groups(matrix.address, matrix.c, spec) - 1) * group
    return start, start + last + matrix.w * matrix.element_bytes


def dram_span(tensor: Dram) -> Span:
    n, c, h, w = tensor.shape
    sn, sc, sh = tensor.strides
    last = (n - 1) * sn + (c - 1) * sc + (h - 1) * sh
    return tensor.address, tensor.address + last + w * tensor.element_bytes


def stream_bound(count: int, element_bytes: int) -> int:
    """Most bytes of a VLC stream of `count` elements (FACTS_TPU 6): header, block map, and
    16 raw bytes per block (BF16: and 16 fraction bytes)."""
    blocks = ceil_div(count, 16)
    return 16 + ceil_div(blocks, 16) * 16 + 16 * blocks * element_bytes


def check_start(what: str, address: int, spec: ChipSpec) -> None:
    require(
        0 <= address < spec.lanes * spec.lane_bytes,
        "{} starts at {:#x}, outside of local memory",
        what,
        address,
    )


def check_end(what: str, end: int, spec: ChipSpec) -> None:
    require(
        end <= spec.lane_bytes,
        "{} ends at byte {} of its lane, which has {}",
        what,
        end,
        spec.lane_bytes,
    )


def check_aligned(what: str, address: int, spec: ChipSpec) -> None:
    require(
        address % spec.eu_bytes == 0,
        "{} must start at a multiple of {} bytes, not at {:#x}",
        what,
        spec.eu_bytes,
        address,
    )


def _check_dims(what: str, shape: Shape4, channels: int, size: int, width: int) -> None:
    n, c, h, w = shape
    if not (1 <= n <= channels and 1 <= c <= channels and 1 <= h <= size and 1 <= w <= width):
        limits = f"n and c up to {channels}, h up to {size}, w up to {width}"
        raise InstructionError(f"{what} has shape {shape}; the engine takes {limits}")


def check_tiu_tensor(what: str, tensor: Local, spec: ChipSpec) -> None:
    """Dimensions, and that the tensor (both planes of it) lies inside local memory."""
    size = spec.max_size
    _check_dims(what, tensor.shape, spec.max_channels, size, size)
    check_start(what, tensor.address, spec)
    for stride in tensor.strides:
        require(stride >= 0, "{} has the negative stride {}", what, stride)
    require(not (tensor.bf16 and tensor.plane), "{} is BF16 and cannot have planes", what)
    require(tensor.plane >= 0, "{} has its high plane below the low one", what)
    check_end(what, local_span(tensor, spec)[1] + tensor.plane, spec)


def check_lane(what: str, address: int, result: int, spec: ChipSpec) -> None:
    """Operands start in the lane of the result (FACTS_TPU 3.2): their descriptor fields
    hold the low 16 bits of the address only."""
    require(
        lane_of(address, spec) == lane_of(result, spec),
        "{} starts in lane {}, the result in lane {}; they must start in the same lane",
        what,
        lane_of(address, spec),
        lane_of(result, spec),
    )


def check_default_strides(what: str, tensor: Local, spec: ChipSpec) -> None:
    """The tensor has the aligned layout that the hardware computes itself."""
    lane = lane_of(tensor.address, spec)
    want = default_strides(tensor.shape, tensor.bf16, spec, lane=lane)
    require(
        tensor.strides == want,
        "{} has strides {}, but the instruction needs the aligned layout {}",
        what,
        tensor.strides,
        want,
    )


def default_strides(
    shape: Shape4, bf16: bool, spec: ChipSpec, *, aligned: bool = True, lane: int = 0
) -> Shape4:
    element = 2 if bf16 else 1
    return local_strides(
        shape, spec.lanes, element_bytes=element, aligned=aligned, unit=spec.eu_bytes, lane=lane
    )


def check_tdma_shape(what: str, shape: Shape4, bf16: bool) -> None:
    width = TDMA_MAX_BF16_WIDTH if bf16 else TDMA_MAX_DIM
    _check_dims(what, shape, TDMA_MAX_DIM, TDMA_MAX_DIM, width)


def check_tdma_local(what: str, tensor: Local, spec: ChipSpec) -> None:
    check_tdma_shape(what, tensor.shape, tensor.bf16)
    check_start(what, tensor.address, spec)
    require(tensor.plane == 0, "{} has two planes; move each plane by itself", what)
    require(
        tensor.strides[3] == tensor.element_bytes,
        "{} has a w stride of {} bytes; the DMA engine moves whole rows",
        what,
        tensor.strides[3],
    )
    for stride in tensor.strides:
        require(stride >= 0, "{} has the negative stride {}", what, stride)
    check_end(what, local_span(tensor, spec)[1], spec)


def check_dram(what: str, tensor: Dram, spec: ChipSpec) -> None:
    check_tdma_shape(what, tensor.shape, tensor.bf16)
    for stride in tensor.strides:
        require(stride >= 0, "{} has the negative stride {}", what, stride)
    check_dram_address(what, tensor, spec)


def check_dram_address(what: str, tensor: Dram, spec: ChipSpec) -> None:
    require(0 <= tensor.region <= 7, "{} is in region {}; there are 0 to 7", what, tensor.region)
    require(
        tensor.address >= 0 and tensor.address + spec.dram_start < 1 << 40,
        "{} starts at {:#x}, which is no 40-bit address",
        what,
        tensor.address,
    )


def check_matrix(what: str, matrix: Matrix, spec: ChipSpec) -> None:
    """Sizes of the pieces, and that the matrix lies inside local memory."""
    require(
        1 <= matrix.rows <= TDMA_MAX_DIM and 1 <= matrix.columns <= TDMA_MAX_DIM,
        "{} has {} x {} elements; a matrix has 1 to {} rows and columns",
        what,
        matrix.rows,
        matrix.columns,
        TDMA_MAX_DIM,
    )
    require(
        matrix.c >= 1 and matrix.w >= 1,
        "{} is cut into {} pieces of width {}",
        what,
        matrix.c,
        matrix.w,
    )
    require(
        (matrix.c - 1) * matrix.w < matrix.columns <= matrix.c * matrix.w,
        "{} has {} columns, which {} pieces of width {} do not make",
        what,
        matrix.columns,
        matrix.c,
        matrix.w,
    )
    check_start(what, matrix.address, spec)
    require(min(matrix.strides) >= 0, "{} has a negative stride", what)
    check_end(what, matrix_span(matrix, spec)[1], spec)
