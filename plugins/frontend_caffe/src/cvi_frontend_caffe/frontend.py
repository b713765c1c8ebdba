"""The Caffe frontend."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cvi.errors import CviError
from cvi.ir import Array, Graph

if TYPE_CHECKING:
    from cvi_frontend_caffe.blobs import Blobs
    from cvi_frontend_caffe.importer import Importer
    from cvi_frontend_caffe.net import Net

_LAYERS = re.compile(rb"^[^#\n]*\blayers?\s*:?\s*\{", re.MULTILINE)
_SUFFIXES = (".prototxt", ".caffemodel")
_HEAD = 1 << 16
_LAYER_FIELDS = (2, 100)


class CaffeFrontend:
    """Reads `.prototxt` files with their `.caffemodel`, or a `.caffemodel` alone.

    seed: weights that are not in the file are drawn from it; None: they are an error.
    Reference inference is OpenCV's.
    """

    name = "caffe"

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed

    def with_random_weights(self, seed: int) -> CaffeFrontend:
        """The frontend that draws the weights which it does not find."""
        return CaffeFrontend(seed)

    def accepts(self, path: Path) -> bool:
        """Whether the file is a network in text form or a binary one, or is called like one.

        A damaged or unrelated file named `.prototxt` or `.caffemodel` is accepted so that
        `load` can say what it is instead.
        """
        from cvi.content import protobuf_fields

        if not path.is_file():
            return False
        if path.suffix.lower() in _SUFFIXES:
            return True
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if b"\0" not in head and _LAYERS.search(head):
            return True
        fields = protobuf_fields(path) or {}
        named = fields.get(1, 2) == 2
        return named and any(fields.get(number) == 2 for number in _LAYER_FIELDS[1:])

    def load(
        self,
        path: Path,
        *,
        weights: Path | None = None,
        batch: int | None = None,
        input_shapes: Mapping[str, tuple[int, ...]] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Graph:
        """The float graph with layers named as in the file.

        batch: replaces the network's own. outputs: layers or blobs (wildcards allowed) at
        which the network is cut. ModelError, InputError or UnsupportedError.
        """
        try:
            importer = self._importer(path, weights)
            return importer.run(batch=batch, input_shapes=input_shapes, outputs=outputs)
        except CviError as error:
            if not error.where.startswith(("--", *map(str, (path, weights)))):
                error.where = f"{path}: {error.where}" if error.where else str(path)
            raise

    def reference(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        weights: Path | None = None,
        tensors: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        """The results of layers as OpenCV computes them, by the layers' names.

        Layers with several tops have one entry `<layer>_<i>` per top.
        """
        from cvi_frontend_caffe.reference import run_reference

        return run_reference(self, path, inputs, weights, tensors)

    def imported(
        self,
        path: Path,
        weights: Path | None,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] | None,
    ) -> tuple[Importer, Graph]:
        """The network up to these layers for inputs of these shapes, and its importer."""
        importer = self._importer(path, weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shapes = {name: array.shape for name, array in inputs.items()}
            return importer, importer.run(input_shapes=shapes, outputs=outputs)

    def _importer(self, path: Path, weights: Path | None) -> Importer:
        from cvi_frontend_caffe.importer import Importer
        from cvi_frontend_caffe.registry import all_converters

        return Importer(self._net(path), all_converters(), self._blobs(path, weights))

    def _net(self, path: Path) -> Net:
        from dataclasses import replace

        from cvi_frontend_caffe.net import read_net

        return replace(read_net(path), name=path.stem)

    def _blobs(self, path: Path, weights: Path | None) -> Blobs:
        """Weights from their own file, or from the model file if it is a binary one."""
        from cvi_frontend_caffe.blobs import Blobs
        from cvi_frontend_caffe.net import is_text
        from cvi_frontend_caffe.weights import read_weights

        if weights is None:
            with path.open("rb") as file:
                weights = None if is_text(file.read(_HEAD)) else path
        return Blobs(read_weights(weights) if weights else {}, self._seed)
