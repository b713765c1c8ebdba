"""Running a program file or an IR file on tensors or an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cvi import plugins
from cvi.errors import InputError
from cvi.flow.real import quantised_inputs
from cvi.ir import Array, DType, Graph, Op
from cvi.ir.types import TensorType
from cvi.preprocess.dataset import samples
from cvi.preprocess.tensors import TENSOR_SUFFIXES, load_tensors


def run(
    model: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]],
    *,
    runner: str = "simulator",
    program: int = 0,
    all_tensors: bool = False,
    timeout: float = 600.0,
    graph: str | os.PathLike[str] | None = None,
) -> dict[str, Array]:
    """Outputs, or all tensors, by name in their stored types.

    inputs: one .npz, or one file per input. Images need an IR file that knows their
    preprocessing: `model` itself, or for a cvimodel the fp32 IR file `graph` it was made
    from. runner and program are for cvimodels; IR files run on the numpy reference.
    """
    from cvi.ir import storage

    path, files = Path(model), tuple(map(Path, inputs))
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="check the path")
    if storage.is_graph_file(path):
        return _run_graph(_loaded(path), files, all_tensors)
    fed = _program_inputs(files, None if graph is None else _loaded(Path(graph)))
    return plugins.runner(runner).run(
        path, fed, program=program, all_tensors=all_tensors, timeout=timeout
    )


def _loaded(path: Path) -> Graph:
    from cvi.ir import storage

    plugins.load_ops()
    return storage.load(path)


def _run_graph(graph: Graph, files: Sequence[Path], all_tensors: bool) -> dict[str, Array]:
    from cvi.execute import evaluate

    if _hold_integers(files):
        stored = next(samples(graph, [tuple(files)]))
    else:
        real = next(samples(with_real_inputs(graph), [tuple(files)]))
        stored = quantised_inputs(graph, real)
    return evaluate(graph, stored, keep=all_tensors)


def _hold_integers(files: Sequence[Path]) -> bool:
    """Whether the files hold tensors in stored form, not real numbers."""
    if any(path.suffix.lower() not in TENSOR_SUFFIXES for path in files):
        return False
    return all(a.dtype.kind in "iu" for path in files for a in load_tensors(path).values())


def with_real_inputs(graph: Graph) -> Graph:
    """Only the inputs, as fp32: what images and real tensors are loaded for."""
    ops = [op.with_(type=TensorType(op.type.shape, DType.FP32)) for op in graph.inputs]
    return Graph(graph.name, list[Op](ops), tuple(op.name for op in ops))


def _program_inputs(files: Sequence[Path], graph: Graph | None) -> dict[str, Array]:
    if graph is not None:
        return next(samples(graph, [tuple(files)]))
    if len(files) == 1 and files[0].suffix.lower() in TENSOR_SUFFIXES:
        return load_tensors(files[0])
    raise InputError(
        "a cvimodel does not say how an image is preprocessed",
        where=", ".join(map(str, files)) or "--input",
        fix="give tensors as one .npz file, or the fp32 IR file of the model with --graph",
    )
