"""Makes the program files in this folder, and what the vendor's simulator computes of them.

    python -m tests.golden.programs.generate

Needs the vendor's libraries (`cvi vendor install`). Each NAME.cvimodel has a NAME.npz with
its inputs as `in:TENSOR` and the vendor's results as `out:TENSOR`, in stored types. They are
kept as they are when the compiler learns to do better: old files must still run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from benchmarks.zoo import model

import cvi
from cvi.ir import Array, DType, Graph, Input, TensorType
from cvi.ops import Concat, Pad, Permute, Slice, Upsample
from cvi.preprocess.dataset import samples
from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.codegen.compile import compile_graph
from cvi_tpu.quantized import ops as q

HERE = Path(__file__).resolve().parent
Case = tuple[bytes, Mapping[str, Array]]

CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    """Register a case under the name of its function."""
    CASES[make.__name__] = make
    return make


@case
def digits_kept() -> Case:
    """The example network with the result of every layer."""
    entry = model("digits")
    with tempfile.TemporaryDirectory() as folder:
        made = cvi.convert(
            entry.file,
            Path(folder) / "digits.cvimodel",
            chip="cv183x",
            image_options=entry.pixels,
            dataset=entry.dataset,
            input_num=entry.images,
            keep_tensors=True,
        )
        return made.path.read_bytes(), next(samples(made.graph, [(entry.image,)]))


@case
def partial_sums() -> Case:
    """A convolution of many input channels in 2 KiB of each lane: its reduction is cut."""
    rng = np.random.default_rng(1)
    graph, oc, ic = Graph("partial_sums"), 36, 1600
    feeds = {"x": _input(graph, "x", (1, ic, 3, 5), rng)}
    operands = {
        "weight": rng.integers(-127, 128, (oc, ic, 1, 1)).astype(np.int8),
        "bias": rng.integers(-4096, 4096, oc).astype(np.int32),
        "multiplier": rng.integers(2**30, 2**31, oc).astype(np.uint32),
        "shift": rng.integers(12, 16, oc).astype(np.uint8),
    }
    names = [graph.constant(name, array) for name, array in operands.items()]
    graph.add(q.Int8Conv2d(name="y", inputs=("x", *names), out_scale=1.0))
    graph.outputs = ("y",)
    return compile_graph(graph, CV183X, lane_bytes=2048), feeds


@case
def movement() -> Case:
    """Data movement only, of integers and floats."""
    rng = np.random.default_rng(2)
    graph = Graph("movement")
    feeds = {
        "x": _input(graph, "x", (1, 37, 6, 9), rng),
        "f": _floats(graph, "f", (1, 5, 4, 6), rng),
    }
    graph.add(Permute(name="swapped", inputs=("x",), order=(0, 3, 1, 2)))
    graph.add(
        Slice(
            name="cut", inputs=("x",), starts=(0, 3, 1, 0), sizes=(1, 9, 3, 4), steps=(1, 3, 1, 2)
        )
    )
    graph.add(
        Pad(name="framed", inputs=("cut",), before=(0, 0, 1, 2), after=(0, 2, 0, 1), value=3.0)
    )
    graph.add(Concat(name="joined", inputs=("framed", "framed"), axis=2))
    graph.add(Upsample(name="grown", inputs=("joined",), factors=(2, 3)))
    graph.add(Permute(name="turned", inputs=("f",), order=(0, 2, 3, 1)))
    graph.outputs = ("swapped", "grown", "turned")
    return compile_graph(graph, CV183X), feeds


@case
def cpu_and_tpu() -> Case:
    """Softmax on the CPU between two segments of the TPU."""
    rng = np.random.default_rng(3)
    graph = Graph("cpu_and_tpu")
    feeds = {"x": _input(graph, "x", (1, 21, 4, 6), rng, scale=0.05)}
    table = graph.constant("table", rng.permutation(256).astype(np.uint8).view(np.int8))
    graph.add(q.Int8Lut(name="mixed", inputs=("x", table), out_scale=0.05))
    graph.add(q.Dequantize(name="real", inputs=("mixed",), scale=0.05))
    graph.add(q.CpuSoftmax(name="chances", inputs=("real",), axis=1))
    graph.add(q.Quantize(name="small", inputs=("chances",), scale=127.0))
    graph.add(
        q.Int8MaxPool2d(name="best", inputs=("small",), kernel=(2, 2), stride=(2, 2),
                        pads=(0, 0, 0, 0), out_scale=1 / 127)
    )  # fmt: skip
    graph.outputs = ("chances", "best")
    return compile_graph(graph, CV183X, keep_tensors=True), feeds


def _input(
    graph: Graph, name: str, shape: tuple[int, ...], rng: np.random.Generator, scale: float = 1.0
) -> Array:
    graph.add(Input(name=name, type=TensorType(shape, DType.INT8, scale)))
    return rng.integers(-128, 128, shape).astype(np.int8)


def _floats(graph: Graph, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    graph.add(Input(name=name, type=TensorType(shape, DType.FP32)))
    return rng.standard_normal(shape).astype(np.float32)


def main() -> None:
    for name, make in CASES.items():
        data, feeds = make()
        path = HERE / f"{name}.cvimodel"
        path.write_bytes(data)
        results = VendorRunner().run(path, feeds, all_tensors=True, timeout=120)
        arrays = {f"in:{key}": array for key, array in feeds.items()}
        arrays |= {f"out:{key}": array for key, array in results.items()}
        np.savez_compressed(HERE / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        print(name, len(data), len(results))


if __name__ == "__main__":
    main()
