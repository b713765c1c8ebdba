"""Reference tensors of single samples, joined along the dimension that holds the batch."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.flow.batches import batched_as


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_batches_lie_where_the_network_has_them(axis: int) -> None:
    samples = np.split(np.arange(4 * 5 * 3), 4)
    shape = [5, 3]
    shape.insert(axis, 1)
    parts = [sample.reshape(shape) for sample in samples]
    wanted = np.concatenate(parts, axis=axis)
    assert np.array_equal(batched_as(np.concatenate(parts), wanted.shape), wanted)


def test_batches_of_several_samples() -> None:
    parts = [np.arange(12).reshape(3, 2, 2) + 12 * i for i in range(4)]
    wanted = np.concatenate(parts, axis=1)
    assert np.array_equal(batched_as(np.concatenate(parts), (3, 8, 2)), wanted)


@pytest.mark.parametrize("shape", [(4, 6), (24,), (4, 2, 3), (4, 3, 2), (2, 2, 6), (8, 3, 1)])
def test_other_shapes_stay_as_they_are(shape: tuple[int, ...]) -> None:
    array = np.arange(24).reshape(4, 3, 2)
    assert batched_as(array, shape) is array
