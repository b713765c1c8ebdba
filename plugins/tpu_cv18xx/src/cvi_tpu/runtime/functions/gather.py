"""Gathers of fp32 elements by int32 indices.

Both of the vendor's functions compute flat offsets and check nothing: an index beyond its
dimension reads what follows. We do the same inside the input and refuse what is outside.
"""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.errors import ModelError
from cvi.ir.types import Array, DType
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.movement import check_indices
from cvi_tpu.runtime.functions.registry import cpu_function


@cpu_function("gatherelements_pt")
def gather_elements(call: Call) -> list[Array]:
    """The element at each position, its coordinate along `axis` replaced by the index."""
    x, indices = call.fp32(0), call.operand(1, DType.INT32).values
    axis = call.axis()
    call.fills(indices.size)
    steps = [prod(x.shape[i + 1 :]) for i in range(4)]
    flat = indices.astype(np.int64) * steps[axis]
    for i, places in enumerate(np.ogrid[tuple(slice(n) for n in indices.shape)]):
        if i != axis:
            flat = flat + places * steps[i]
    check_indices(flat, x.size, call.inputs[0].name)
    return [x.reshape(-1)[flat]]


@cpu_function("gathernd_tf")
def gather_nd(call: Call) -> list[Array]:
    """Slices of the input by tuples of indices, as TensorFlow's gather_nd.

    The first `batch_dims` dimensions of both inputs are batches; a tuple lies along
    dimension `indice_dims` - 1 of the indices. The output's size says how long a slice is.
    """
    x, indices = call.fp32(0), call.operand(1, DType.INT32).values
    batch_dims, last = call.argument("batch_dims", int), call.argument("indice_dims", int)
    if not (0 <= batch_dims < 4 and 1 <= last <= 4):
        raise ModelError(f"arguments 'batch_dims' {batch_dims} and 'indice_dims' {last}")
    batches, length = prod(indices.shape[:batch_dims]), indices.shape[last - 1]
    if indices.size % (batches * length) or length > 4 - batch_dims:
        raise ModelError(
            f"indices of {indices.shape} are no tuples of {length} in {batches} batches"
        )
    tuples = indices.reshape(batches, -1, length).astype(np.int64)
    out = call.output(DType.FP32)
    size, rest = divmod(prod(out.shape[:4]), batches * tuples.shape[1])
    if rest or not size:
        raise ModelError(f"{batches * tuples.shape[1]} slices do not fill it", where=out.name)
    dims = (batches, *x.shape[batch_dims:])[: length + 1]
    steps = np.array([prod(dims[i + 1 :]) for i in range(length + 1)], np.int64)
    starts = tuples @ steps[1:] + np.arange(batches)[:, None] * steps[0]
    check_indices(starts, x.size // size, call.inputs[0].name)
    return [x.reshape(-1)[: x.size // size * size].reshape(-1, size)[starts]]
