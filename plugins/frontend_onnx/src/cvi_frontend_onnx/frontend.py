"""The ONNX frontend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cvi.errors import CviError, InputError
from cvi.files import atomic_write_bytes
from cvi.ir import Array, Graph, Shape


class OnnxFrontend:
    """Reads `.onnx` files, opset 7 and newer; reference inference by onnxruntime."""

    name = "onnx"

    def accepts(self, path: Path) -> bool:
        """Whether the file is built like an ONNX model, or at least calls itself one.

        A damaged or unrelated file named `.onnx` is accepted so that `load` can say what
        it is instead; one that is built like a TFLite model is not.
        """
        from cvi_frontend_onnx.model import looks_like_onnx

        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(8)
        if head[4:8] == b"TFL3":
            return False
        return looks_like_onnx(path) or path.suffix.lower() == ".onnx"

    def load(
        self,
        path: Path,
        *,
        weights: Path | None = None,
        batch: int | None = None,
        input_shapes: Mapping[str, tuple[int, ...]] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Graph:
        """The float graph with layers named `<output>_<OpType>`.

        batch: replaces the model's own. outputs: tensors or layers (wildcards allowed)
        at which the graph is cut. ModelError, InputError or UnsupportedError.
        """
        from cvi_frontend_onnx.importer import Importer
        from cvi_frontend_onnx.model import read_model
        from cvi_frontend_onnx.registry import all_converters

        _no_weights(weights)
        model = read_model(path)
        try:
            importer = Importer(model, all_converters(), name=path.stem, folder=path.parent)
            return importer.run(batch=batch, input_shapes=input_shapes, outputs=outputs)
        except CviError as error:
            if str(path) not in error.where:
                error.where = f"{path}: {error.where}" if error.where else str(path)
            raise

    def tail(self, path: Path, target: Path, cut: Mapping[str, Shape]) -> bool:
        """Write what is behind these tensors as an ONNX model; False when nothing is."""
        from cvi_frontend_onnx.tail import tail_of

        model = tail_of(path, cut)
        if model is not None:
            atomic_write_bytes(target, model.SerializeToString())
        return model is not None

    def write_graph(self, graph: Graph, target: Path) -> None:
        """Write a float graph as an ONNX model."""
        from cvi_frontend_onnx.exporter import to_onnx

        atomic_write_bytes(target, to_onnx(graph).SerializeToString())

    def reference(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        *,
        weights: Path | None = None,
        tensors: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        """Tensors of the model as onnxruntime computes them, without optimisations."""
        from cvi_frontend_onnx.reference import run_reference

        _no_weights(weights)
        return run_reference(path, inputs, tensors)

    def foreign(self, path: Path) -> Sequence[str]:
        """Tensors of ops that onnxruntime does not know; see `cvi.hookspecs.HasForeign`."""
        from cvi_frontend_onnx.foreign import foreign_tensors
        from cvi_frontend_onnx.model import read_model

        return foreign_tensors(read_model(path))


def _no_weights(weights: Path | None) -> None:
    if weights is not None:
        raise InputError(
            "an ONNX model has no separate weight file",
            where=str(weights),
            fix="leave it out; external data is found beside the model",
        )
