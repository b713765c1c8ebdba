"""Reference tensors of a network that was made for a smaller batch."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, Shape


def batched_as(array: Array, shape: Shape) -> Array:
    """The array with its batches along the dimension that they have in `shape`.

    A framework runs k batches one by one and joins the results along dimension 0, but a
    network that moves the batch elsewhere (a sequence [time, batch, channels]) has it
    there. Arrays whose shape is right or differs otherwise stay as they are.
    """
    if array.ndim != len(shape) or array.size != np.prod(shape) or array.shape == shape:
        return array
    count, rest = divmod(array.shape[0], shape[0])
    axes = [i for i in range(1, array.ndim) if array.shape[i] != shape[i]]
    if rest or len(axes) != 1 or shape[axes[0]] != count * array.shape[axes[0]]:
        return array
    return np.concatenate(np.split(array, count), axis=axes[0])
