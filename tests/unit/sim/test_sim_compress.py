"""Compressing stores and loads in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from chips import each_chip
from cvi.errors import RunnerError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.geometry import stream_bound
from cvi_tpu.isa.instructions import Copy, MatrixCopy
from cvi_tpu.isa.operands import Dram, Local, Matrix, Shape4, dense, dram_matrix, local_strides
from cvi_tpu.sim import vlc, vlc_encode
from cvi_tpu.sim.machine import Machine
from cvi_tpu.sim.memory import Regions

SHAPE: Shape4 = (2, 37, 3, 5)


@pytest.mark.parametrize("kind", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 400])
@pytest.mark.parametrize("spread", [0, 1, 20, 1000])
def test_streams_are_decoded_to_what_was_encoded(
    kind: tuple[bool, bool], size: int, spread: int
) -> None:
    signed, bf16 = kind
    rng = np.random.default_rng(spread)
    for guard in (False, True) if bf16 else (False,):
        bias0, bias1 = (int(rng.integers(0, 256)), 0) if bf16 else (3, 120) if signed else (0, 0)
        head = vlc.Header(0, signed, bf16, bias0, bias1, guard)
        values = np.rint(rng.normal(0, spread, size)).astype(np.int64) & (0xFFFF if bf16 else 0xFF)
        if bf16 and guard:
            values[(values >> 7 & 0xFF) == 0] = 0  # the guard drops their fractions
        plain = values.astype(np.uint16 if bf16 else np.uint8)
        stream = vlc_encode.encode(plain, head)
        assert stream.size <= stream_bound(size, plain.itemsize) and stream.size % 16 == 0
        assert vlc.stream_bytes(vlc.header(stream), size) == stream.size
        np.testing.assert_array_equal(vlc.decode(stream, size), plain)


def machine(spec: ChipSpec, seed: int = 0) -> Machine:
    """Local memory full of small numbers, and empty DRAM."""
    made = Machine(spec, Regions({3: np.zeros(1 << 16, np.uint8)}))
    rng = np.random.default_rng(seed)
    raw = rng.integers(-3, 4, made.memory.bytes.shape).astype(np.int8)
    made.memory.bytes[...] = raw.view(np.uint8)
    return made


def tensor(spec: ChipSpec, address: int, bf16: bool) -> Local:
    size = 2 if bf16 else 1
    strides = local_strides(SHAPE, spec.lanes, element_bytes=size)
    return Local(address, SHAPE, strides, True, bf16)


@each_chip
@pytest.mark.parametrize("bf16", [False, True])
def test_a_stored_tensor_can_be_loaded_again(spec: ChipSpec, bf16: bool) -> None:
    made = machine(spec)
    far = Dram(3, 64, SHAPE, dense(SHAPE, 2 if bf16 else 1), True, bf16)
    source, target = tensor(spec, 0, bf16), tensor(spec, 4096, bf16)
    made.execute(Copy(source=source, target=far, compressed=True, bias0=127 * bf16))
    made.execute(Copy(source=far, target=target, compressed=True))
    np.testing.assert_array_equal(made.memory.tensor(target), made.memory.tensor(source))
    if not bf16:  # small numbers take fewer bytes
        used = np.flatnonzero(made.dram.regions[3]).max()
        assert used < 64 + int(np.prod(SHAPE)) * 3 // 4


def test_a_stored_matrix_can_be_loaded_again() -> None:
    made = machine(CV183X)
    source = Matrix(0, 5, 60, 4, 16, (16, 80))
    far = dram_matrix(3, 64, 5, 60)
    made.execute(MatrixCopy(source=source, target=far, compressed=True))
    target = Matrix(4096, 5, 60, 4, 16, (16, 80))
    made.execute(MatrixCopy(source=far, target=target, compressed=True))
    lanes = made.memory.bytes[:4].view(np.int8)
    for row in range(5):
        got = lanes[:, 4096 + 16 * row : 4096 + 16 * row + 16].reshape(-1)[:60]
        np.testing.assert_array_equal(got, lanes[:, 16 * row : 16 * row + 16].reshape(-1)[:60])


@pytest.mark.parametrize("fields", [{"bias0": 3}, {"bias1": 1}, {"zero_guard": True}])
def test_parameters_at_which_the_vendors_simulator_aborts(fields: dict[str, int]) -> None:
    far = Dram(3, 64, SHAPE, dense(SHAPE))
    store = Copy(source=tensor(CV183X, 0, False), target=far, compressed=True, **fields)  # type: ignore[arg-type]
    with pytest.raises(RunnerError, match="a compressing store has biases"):
        machine(CV183X).execute(store)


def test_a_stream_beyond_the_region_is_refused() -> None:
    far = Dram(3, (1 << 16) - 64, SHAPE, dense(SHAPE))
    store = Copy(source=tensor(CV183X, 0, False), target=far, compressed=True)
    with pytest.raises(RunnerError):
        machine(CV183X).execute(store)
