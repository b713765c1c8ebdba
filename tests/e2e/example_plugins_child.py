"""A process with the example plugins: programs with their kernel, and on their chip.

python example_plugins_child.py vendor|simulator
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "differential"))

from compile_cases import random_network
from program_runs import check_program

from acme_chip.spec import ACME1
from acme_op.int8 import Int8AcmeBlend
from cvi.ir import Array, DType, Graph, Input, TensorType
from cvi_chip_cv183x.spec import CV183X


def blend(seed: int) -> tuple[Graph, dict[str, Array]]:
    """Three tensors of random shapes, each dimension broadcast now and then."""
    rng = np.random.default_rng(seed)
    full = [int(rng.integers(1, most)) for most in (3, 70, 30, 30)]
    graph, feeds = Graph("blend"), {}
    for name in ("a", "b", "mask"):
        shape = tuple(dim if rng.random() < 0.7 else 1 for dim in full)
        graph.add(Input(name=name, type=TensorType(shape, DType.INT8, 1 / 127)))
        feeds[name] = rng.integers(-128, 128, shape).astype(np.int8)
    graph.add(Int8AcmeBlend(name="y", inputs=("a", "b", "mask"), out_scale=1 / 127))
    graph.outputs = ("y",)
    return graph, feeds


def main(vendor: bool) -> None:
    for seed in range(12):
        graph, feeds = blend(seed)
        lane_bytes = None if seed % 2 else 2048
        check_program(graph, feeds, spec=CV183X, vendor=vendor, lane_bytes=lane_bytes)
        check_program(graph, feeds, spec=ACME1)
    for seed in range(8):
        graph, feeds = random_network(seed)
        check_program(graph, feeds, spec=ACME1, keep_tensors=seed % 2 == 0)
    print("12 blends, 8 networks")


if __name__ == "__main__":
    main(sys.argv[1] == "vendor")
