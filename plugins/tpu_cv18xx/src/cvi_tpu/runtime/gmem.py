"""The memory regions of a program, and tensors in them (FACTS_CVIMODEL 4 and 5)."""

from __future__ import annotations

import numpy as np

from cvi.errors import ModelError, RunnerError
from cvi.ir.types import Array
from cvi_tpu.model.schema import CviModelFile, Program, Tensor, Weight, address_of
from cvi_tpu.sim.memory import Bytes, Regions

SHARED, WEIGHT, PRIVATE, FIRST_IO = 0, 1, 2, 3
LIMIT = 4 << 30
"""Size of the simulated DRAM: what a file asks for must fit."""


class Gmem:
    """Memory of one program: the regions, and heap for tensors without an address."""

    def __init__(self, model: CviModelFile, program: Program) -> None:
        sizes = _sizes(model, program)
        if sum(sizes.values()) > LIMIT:
            raise ModelError(f"the program needs {sum(sizes.values())} bytes of memory")
        regions = {number: _zeros(size) for number, size in sizes.items()}
        if program.neuron_size:
            regions[PRIVATE] = regions[SHARED]
        weights = np.frombuffer(model.weights(), np.uint8)
        if weights.size:
            regions[WEIGHT] = weights.copy()
        self.dram = Regions(regions)
        self._heap: dict[str, Bytes] = {}
        for tensor in program.tensors:
            self._check(tensor)

    def _check(self, tensor: Tensor) -> None:
        if len(tensor.shape) < 4 or min(tensor.shape[:4]) < 1:
            raise ModelError(
                f"shape {tensor.shape} is not at least four positive sizes", where=tensor.name
            )
        if not tensor.has_memory:
            return
        if tensor.region == WEIGHT:
            raise ModelError("a tensor lies in the weight region", where=tensor.name)
        size = self.dram.regions[tensor.region].size if tensor.region in self.dram.regions else 0
        if tensor.address + tensor.bytes > size:
            raise ModelError(
                f"the tensor ends at byte {tensor.address + tensor.bytes} of memory region"
                f" {tensor.region}, which has {size}",
                where=tensor.name,
            )

    def bytes_of(self, tensor: Tensor) -> Bytes:
        """The tensor's memory, to read and write."""
        if not tensor.has_memory:
            if tensor.bytes > LIMIT:
                raise ModelError("the tensor is too big", where=tensor.name)
            if tensor.name not in self._heap:
                self._heap[tensor.name] = _zeros(tensor.bytes)
            return self._heap[tensor.name]
        return self.dram.linear(tensor.region, tensor.address, tensor.bytes)

    def array(self, tensor: Tensor) -> Array:
        """The tensor's elements in its first four dimensions; flat when padded."""
        values: Array = self.bytes_of(tensor).view(tensor.dtype.numpy)
        return values if tensor.aligned else values.reshape(tensor.shape[:4])

    def weight(self, weight: Weight) -> Array:
        """A named piece of the weight section, as a CPU function reads it."""
        if weight.shape is None or len(weight.shape) < 4:
            raise ModelError("a CPU function reads a weight without shape", where=weight.name)
        dtype, count = weight.element.dtype.numpy, int(np.prod(weight.shape[:4], dtype=object))
        raw = self.dram.linear(WEIGHT, address_of(weight.offset), count * dtype.itemsize)
        values: Array = np.frombuffer(raw.tobytes(), dtype)
        return values.reshape(weight.shape[:4])


def _zeros(size: int) -> Bytes:
    """Empty memory; RunnerError when this computer cannot give as much."""
    try:
        return np.zeros(size, np.uint8)
    except MemoryError:
        raise RunnerError(
            f"the program needs {size} bytes of memory at once, more than are free here",
            fix="build the file again, or run it on a computer with more memory",
        ) from None


def _sizes(model: CviModelFile, program: Program) -> dict[int, int]:
    """Bytes of the regions 0, 2 and 3 to 7."""
    if program.neuron_size:
        sizes = {SHARED: program.neuron_size}
    else:
        shared = max(p.shared_gmem for p in model.programs)
        sizes = {SHARED: shared, PRIVATE: program.private_gmem}
    for tensor in program.tensors:
        if not tensor.has_memory or tensor.region < FIRST_IO or tensor.region in sizes:
            continue
        if tensor.address:
            raise ModelError(
                f"the first tensor of memory region {tensor.region} must have address 0",
                where=tensor.name,
            )
        sizes[tensor.region] = tensor.bytes
    return sizes
