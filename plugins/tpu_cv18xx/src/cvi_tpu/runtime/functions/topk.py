"""The largest or smallest values of rows; only newer runtimes have the function."""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.errors import ModelError, RunnerError
from cvi.ir.types import Array
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function


@cpu_function("topk")
def topk(call: Call) -> list[Array]:
    """The K largest (or smallest) values of every row, the first of them first; their
    indices are not given. Where K is more than a row has, 0 follows. Of equal values (0 and
    -0) the first comes first, of the smallest ones the last.

    A row has as many values as dimension `axis`; the rows of all dimensions before it lie
    one after the other, so that only the last dimension above 1 makes sense. `sorted` must
    be true, else the vendor's runtime aborts.
    """
    x, axis, count = call.fp32(0), call.axis(), call.positive("K")
    largest = call.argument("largest", bool)
    if not call.argument("sorted", bool):
        raise ModelError("argument 'sorted' is false: the vendor's runtime aborts")
    if np.isnan(x).any():
        raise RunnerError("a value is NaN: the vendor's runtime cannot sort it")
    length, rows = x.shape[axis], prod(x.shape[:axis])
    call.fills(rows * count)
    table = x.reshape(-1)[: rows * length].reshape(rows, length)
    if largest:
        order = np.argsort(-table, axis=1, kind="stable")
    else:
        order = length - 1 - np.argsort(table[:, ::-1], axis=1, kind="stable")
    out = np.zeros((rows, count), np.float32)
    out[:, :length] = np.take_along_axis(table, order, axis=1)[:, :count]
    return [out]
