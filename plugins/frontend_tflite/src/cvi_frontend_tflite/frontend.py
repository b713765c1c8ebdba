"""The TFLite frontend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cvi.errors import CviError, InputError
from cvi.ir import Array, Graph


class TfliteFrontend:
    """Reads TFLite files, float and full-integer, and TensorFlow's own formats by way of
    TensorFlow's converter; reference inference by TensorFlow Lite's interpreter."""

    name = "tflite"

    def accepts(self, path: Path) -> bool:
        """Whether the path is a TFLite file, a SavedModel folder, a Keras file or a frozen
        graph, or at least calls itself `.tflite`."""
        from cvi_frontend_tflite.files import kind_of

        return kind_of(path) is not None

    def load(
        self,
        path: Path,
        *,
        weights: Path | None = None,
        batch: int | None = None,
        input_shapes: Mapping[str, tuple[int, ...]] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Graph:
        """The float graph with layers named `<output tensor>_<OP>`, images as [n, c, h, w].

        A full-integer model becomes the real numbers that it stands for, and the graph has
        the thresholds that follow from its scales. batch: replaces the model's own.
        outputs: tensors, layers or signature names (wildcards allowed) at which the graph
        is cut. ModelError, InputError or UnsupportedError.
        """
        from cvi_frontend_tflite.importer import Importer
        from cvi_frontend_tflite.reader import read_model
        from cvi_frontend_tflite.registry import all_converters

        _no_weights(weights)
        with _placed(path):
            model = read_model(_bytes(path))
            importer = Importer(model, all_converters(), name=path.stem)
            return importer.run(batch=batch, input_shapes=input_shapes, outputs=outputs)

    def reference(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        weights: Path | None = None,
        tensors: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        """Tensors of the model as TensorFlow Lite computes them, as real numbers, images
        as [n, c, h, w]."""
        from cvi_frontend_tflite.reference import run_reference

        _no_weights(weights)
        with _placed(path):
            return run_reference(_bytes(path), inputs, tensors)

    def brings_thresholds(self, path: Path) -> bool:
        """Whether the model computes with integers: some result of an op has a scale."""
        from cvi_frontend_tflite.files import kind_of
        from cvi_frontend_tflite.reader import read_model

        if kind_of(path) != "tflite":
            return False
        with _placed(path):
            model = read_model(_bytes(path))
        results = (model.tensors[t] for op in model.operators for t in op.outputs)
        return any(tensor.range() is not None for tensor in results)


def _bytes(path: Path) -> bytes:
    """The TFLite file, made by TensorFlow's converter where it is none yet."""
    from cvi_frontend_tflite.files import kind_of, read_tflite

    kind = kind_of(path)
    if kind in (None, "tflite"):
        return read_tflite(path)
    from cvi_frontend_tflite.tensorflow import converted

    return converted(path, kind)


@contextmanager
def _placed(path: Path) -> Iterator[None]:
    """Errors name the file."""
    try:
        yield
    except CviError as error:
        if str(path) not in error.where:
            error.where = f"{path}: {error.where}" if error.where else str(path)
        raise


def _no_weights(weights: Path | None) -> None:
    if weights is not None:
        raise InputError(
            "a TFLite model has no separate weight file",
            where=str(weights),
            fix="leave it out",
        )
