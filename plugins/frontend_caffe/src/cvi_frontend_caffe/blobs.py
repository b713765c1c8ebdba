"""Where the weights of a layer come from: the file, or a seed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cvi.errors import ModelError
from cvi.ir import Array, Shape

Drawn = Callable[[], Array]
"""Makes the random numbers of a blob when they are needed."""

_MAX_ELEMENTS = 1 << 29


class Blobs:
    """The weights of a network.

    file: layer -> blobs. seed: draw what the file does not have, None: never.
    missing: layers that need weights and have none. used: what the layers have asked for, in
    the shapes that they need. drawn: whether any of it is random.
    """

    def __init__(self, file: Mapping[str, Sequence[Array]], seed: int | None) -> None:
        self._file = file
        self._seed = seed
        self.missing: list[str] = []
        self.used: dict[str, list[Array]] = {}
        self.drawn = False

    @property
    def random(self) -> bool:
        return self._seed is not None

    def count(self, layer: str) -> int | None:
        """How many blobs the file has for a layer, None when it has none."""
        return len(self._file[layer]) if layer in self._file else None

    def take(self, layer: str, index: int, shape: Shape, drawn: Drawn) -> Array | None:
        """A blob from the file, or drawn; None when there is neither. Asked for in order."""
        array = self._stored(layer, index, shape)
        if array is None and self.random:
            array, self.drawn = drawn(), True
        if array is not None:
            self.used.setdefault(layer, [])[index:] = [array]
        return array

    def _stored(self, layer: str, index: int, shape: Shape) -> Array | None:
        """A blob of the file in the shape that the layer needs, None when there is none.

        Old files pad shapes with ones, so only the number of elements must agree.
        """
        blobs = self._file.get(layer, ())
        if index >= len(blobs):
            return None
        blob = blobs[index]
        if blob.size != math.prod(shape):
            raise ModelError(
                f"its weights {index} are {_dims(blob.shape)} in the file, "
                f"but {_dims(shape)} are needed",
                fix="give the .caffemodel that belongs to this network",
            )
        return blob.reshape(shape)

    def note_missing(self, where: str) -> None:
        """Remember a layer whose weights are nowhere."""
        if where not in self.missing:
            self.missing.append(where)

    def generator(self, layer: str, index: int) -> np.random.Generator:
        """The source of one blob's random numbers: the same whatever else is drawn."""
        return np.random.default_rng([self._seed or 0, zlib.crc32(layer.encode()), index])


def check_size(shape: Shape) -> None:
    """ModelError for weights that cannot be meant seriously, before they are allocated."""
    if any(d < 1 for d in shape) or math.prod(shape) > _MAX_ELEMENTS:
        raise ModelError(f"needs weights of the impossible shape {_dims(shape)}")


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def filters(rng: np.random.Generator, shape: Shape, fan_in: int, rms: float) -> Array:
    """Normally distributed filters that give a result of about unit size.

    rms: root mean square of what they are applied to. With rms² = 1/2, what is left of a
    normal distribution behind a ReLU, these are the filters of He and others.
    """
    deviation = 1 / (math.sqrt(max(fan_in, 1)) * max(rms, 1e-3))
    return np.asarray(rng.standard_normal(shape, np.float32) * np.float32(deviation))


def around(rng: np.random.Generator, shape: Shape, centre: float, spread: float) -> Array:
    """Uniform numbers within `spread` of `centre`."""
    return rng.uniform(centre - spread, centre + spread, shape).astype(np.float32)
