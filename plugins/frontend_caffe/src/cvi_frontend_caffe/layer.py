"""One Caffe layer as its converter sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi.importing.converted import Converted
from cvi.ir import Array, Op, Shape
from cvi_frontend_caffe import blobs as draw
from cvi_frontend_caffe.blobs import Blobs
from cvi_frontend_caffe.builder import Builder
from cvi_frontend_caffe.net import NetLayer
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.values import Value


class Layer(Converted):
    """A layer, its bottoms already converted.

    A converter reads parameters, bottoms and weights, builds ops with `emit`, and returns
    the value of the top (or of all tops, in order). It calls `refuse` for what it cannot do;
    every refused layer of a network is reported in one error.

    type, name: as in the file. tops: names of the results.
    batch: (the network's own batch size, the one asked for), None when they are the same.
    rms: the estimated magnitude of every bottom, for random weights.
    """

    tensor = "blob"

    def __init__(
        self,
        net: NetLayer,
        bottoms: Sequence[Value],
        rms: Sequence[float],
        blobs: Blobs,
        builder: Builder,
        batch: tuple[int, int] | None = None,
    ) -> None:
        self.type, self.name, self.where = net.type, net.name, net.where
        self.tops, self._results = net.tops, net.results
        self.batch = batch
        self.rms = tuple(rms)
        self._bottoms = tuple(bottoms)
        self._proto = net.proto
        self._params: dict[str, Params] = {}
        self._blobs = blobs
        self._builder = builder
        self._used_blobs = 0

    # -- names ------------------------------------------------------------

    def top_name(self, index: int) -> str:
        """Name of the op that computes a top: the layer's, with a number if it has several."""
        return self._results[index]

    def helper(self, suffix: str) -> str:
        """Name of an auxiliary op of this layer."""
        return f"{self.name}_{suffix}"

    # -- what goes in -----------------------------------------------------

    def params(self, name: str) -> Params:
        """One of the layer's messages, e.g. `pooling_param`."""
        found = self._params.get(name)
        if found is None:
            found = self._params[name] = Params(getattr(self._proto, name))
        return found

    @property
    def unread(self) -> list[str]:
        """Parameters that nobody asked for, of the messages that were read."""
        return [f"{n}.{name}" for n, params in self._params.items() for name in params.unread]

    def bottom(self, index: int = 0) -> Value:
        """A required bottom; ModelError when it is absent."""
        if index >= len(self._bottoms):
            self.broken(f"needs at least {index + 1} bottoms but has {len(self._bottoms)}")
        return self._plain(self._bottoms[index])

    def bottoms(self, least: int = 1, most: int | None = None) -> list[Value]:
        """All bottoms of a layer that takes `least` to `most` of them."""
        count = len(self._bottoms)
        if count < least or (most is not None and count > most):
            wanted = str(least) if least == most else f"{least} to {most or 'any number of'}"
            self.broken(f"takes {wanted} bottoms but has {count}")
        return [self._plain(value) for value in self._bottoms]

    def positions(self, index: int) -> Value | None:
        """A bottom that holds the places of a pool's maxima, None when it holds others."""
        given = self._bottoms[index] if index < len(self._bottoms) else None
        return given if given is not None and given.positions else None

    def _plain(self, value: Value) -> Value:
        if value.positions:
            self.refuse("reads the mask of a pool; only Upsample can")
        return value

    @property
    def bottom_count(self) -> int:
        return len(self._bottoms)

    # -- weights ----------------------------------------------------------

    def filters(self, index: int, shape: Shape, fan_in: int) -> Array:
        """Weights that multiply; random ones give a result of unit size."""
        rng = self._blobs.generator(self.name, index)
        rms = self.rms[0] if self.rms else 1.0
        return self._blob(index, shape, lambda: draw.filters(rng, shape, fan_in, rms))

    def vector(self, index: int, shape: Shape, centre: float, spread: float) -> Array:
        """Weights of another kind; random ones lie around `centre`."""
        rng = self._blobs.generator(self.name, index)
        return self._blob(index, shape, lambda: draw.around(rng, shape, centre, spread))

    def bias(self, index: int, size: int) -> Array:
        """Small numbers to be added."""
        return self.vector(index, (size,), 0.0, 0.05)

    @property
    def stored_blobs(self) -> int | None:
        """How many blobs the file has for the layer, None when it has none."""
        return self._blobs.count(self.name)

    @property
    def unread_blobs(self) -> int:
        """How many blobs of the file nobody asked for."""
        return max((self.stored_blobs or 0) - self._used_blobs, 0)

    def _blob(self, index: int, shape: Shape, drawn: draw.Drawn) -> Array:
        self._used_blobs = max(self._used_blobs, index + 1)
        draw.check_size(shape)
        array = self._blobs.take(self.name, index, shape, drawn)
        if array is None:
            self._blobs.note_missing(self.where)
            return np.zeros(shape, np.float32)
        return array

    # -- results ----------------------------------------------------------

    def emit(self, op: Op, *operands: Value | Array | None) -> Value:
        """Add an op that reads these operands; folded when all of them are constant.

        An op named as `top_name` says has the value of that top.
        """
        values = [Value.of(v) if isinstance(v, np.ndarray) else v for v in operands]
        source = op.name if op.name in self._results else ""
        return self._builder.emit(op.with_(source=source), values, self.name)
