"""Fused layers give the bytes of every single layer, whatever the slices and halos.

Random networks of convolutions, pools and arithmetic with branches that meet again; the
kept tensors show each layer as the fused program computed it.
"""

from __future__ import annotations

import numpy as np
import pytest
from program_runs import check_program

from cvi.execute import evaluate
from cvi.ir import Array, DType, Graph, Input, TensorType
from cvi.ops import Upsample
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.model import read
from cvi_tpu.quantized import ops as q
from cvi_tpu.runtime import Runtime
from cvi_tpu.sim.schedule import Schedule
from vendor_here import needs_vendor

SEEDS = range(24)
LANE_BYTES = [None, 8192, 2048]


def rate(rng: np.random.Generator, count: int, terms: int) -> dict[str, Array]:
    shift = int(np.log2(terms * 127)) - 3
    return {
        "bias": rng.integers(-4096, 4096, count).astype(np.int32),
        "multiplier": rng.integers(2**30, 2**31, count).astype(np.uint32),
        "shift": np.full(count, max(shift, 0), np.uint8),
    }


class Network:
    """Grows a random graph layer by layer."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = Graph(f"fused{seed}")
        n, c = int(self.rng.choice([1, 1, 2])), int(self.rng.integers(1, 50))
        h, w = (int(x) for x in self.rng.integers(6, 60, 2))
        kind = TensorType((n, c, h, w), DType.INT8, 1.0)
        self.graph.add(Input(name="x", type=kind))
        self.values = ["x"]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.graph.type_of(name).shape

    def pick(self) -> str:
        """One of the last values, so that branches stay short."""
        return str(self.rng.choice(self.values[-3:]))

    def add(self, kind: type, inputs: list[str], **attributes: object) -> None:
        name = f"l{len(self.values)}"
        extra = {"out_scale": 1.0} if issubclass(kind, q.Int8Op) else {}
        self.graph.add(kind(name=name, inputs=tuple(inputs), **extra, **attributes))
        self.values.append(name)

    def constants(self, arrays: dict[str, Array]) -> list[str]:
        count = len(self.values)
        return [self.graph.constant(f"l{count}_{k}", v) for k, v in arrays.items()]

    def conv(self, depthwise: bool = False) -> None:
        source = self.pick()
        _, c, h, w = self.shape(source)
        k = int(self.rng.choice([1, 1, 3, 3, 5]))
        oc = c if depthwise else int(self.rng.integers(1, 70))
        weight = self.rng.integers(-127, 128, (oc, 1 if depthwise else c, k, k)).astype(np.int8)
        stride = int(self.rng.choice([1, 1, 2])) if min(h, w) > k else 1
        arrays = {"weight": weight, **rate(self.rng, oc, weight[0].size)}
        self.add(
            q.Int8Conv2d, [source, *self.constants(arrays)],
            stride=(stride, stride), pads=(k // 2,) * 4, group=c if depthwise else 1,
            relu=bool(self.rng.integers(2)),
        )  # fmt: skip

    def depthwise(self) -> None:
        self.conv(depthwise=True)

    def pool(self) -> None:
        source = self.pick()
        if self.rng.integers(3) == 0:
            pads, dilation = (2, 1, 1, 2), (2, 3)
            self.add(q.Int8MaxPool2d, [source], kernel=(2, 2), pads=pads, dilation=dilation)
        elif min(self.shape(source)[2:]) >= 2:
            self.add(q.Int8MaxPool2d, [source], kernel=(2, 2), stride=(2, 2))

    def table(self) -> None:
        values = self.rng.integers(-128, 128, 256).astype(np.int8)
        self.add(q.Int8Lut, [self.pick(), *self.constants({"table": values})])

    def clip(self) -> None:
        self.add(q.Int8Clip, [self.pick()], minimum=0, maximum=127)

    def upsample(self) -> None:
        source = self.pick()
        if max(self.shape(source)[2:]) <= 40:
            self.add(Upsample, [source], factors=(2, 1))

    def meet(self) -> None:
        first = self.values[-1]
        same = [v for v in self.values[:-1] if self.shape(v) == self.shape(first)]
        if same:
            operands = [first, str(self.rng.choice(same))]
            bias = int(self.rng.choice([0, -8192]))
            self.add(q.Int8Add, operands, multipliers=(60, -45), shift=6, relu=True, bias=bias)

    def gate(self) -> None:
        """Squeeze and excite: a global pool that is multiplied back."""
        source = self.values[-1]
        _, _, h, w = self.shape(source)
        if h * w > 900:  # a window must fit the smallest local memory below
            return
        rates = ((h * w, 64, 2**30, min(31, 6 + int(np.log2(h * w)))),)
        self.add(q.Int8AvgPool2d, [source], kernel=(h, w), rates=rates)
        self.add(q.Int8Mul, [source, self.values[-1]], multiplier=2**30, shift=5)

    def build(self) -> tuple[Graph, dict[str, Array]]:
        steps = [self.conv, self.conv, self.depthwise, self.pool, self.table, self.clip,
                 self.upsample, self.meet, self.meet, self.gate]  # fmt: skip
        while len(self.values) < 12:
            steps[int(self.rng.integers(len(steps)))]()
        used = {name for op in self.graph.ops for name in op.inputs}
        self.graph.outputs = tuple(v for v in self.values if v not in used and v != "x")
        shape = self.shape("x")
        return self.graph, {"x": self.rng.integers(-128, 128, shape).astype(np.int8)}


def test_the_networks_are_fused() -> None:
    """Otherwise the tests below would show nothing."""
    fewer = 0
    for seed in SEEDS:
        graph, _ = Network(seed).build()
        reports = [compile_with_report(graph, CV183X, fuse=fuse).report for fuse in (True, False)]
        fewer += reports[0].tdma_commands < reports[1].tdma_commands
    assert fewer > 0.9 * len(SEEDS)


@pytest.mark.parametrize("lane_bytes", LANE_BYTES)
@pytest.mark.parametrize("seed", SEEDS)
def test_simulator_gives_every_layers_bytes(seed: int, lane_bytes: int | None) -> None:
    graph, feeds = Network(seed).build()
    check_program(graph, feeds, keep_tensors=True, lane_bytes=lane_bytes)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_the_engines_gives_the_same_bytes(seed: int) -> None:
    graph, feeds = Network(seed).build()
    compiled = compile_with_report(graph, CV183X)
    assert not any(find_races(commands, CV183X) for commands in compiled.commands)
    want = evaluate(graph, feeds)
    orders = [(Schedule.TIU_FIRST, 0), (Schedule.TDMA_FIRST, 0)]
    orders += [(Schedule.RANDOM, seed) for seed in range(3)]
    for schedule, order_seed in orders:
        runtime = Runtime(read(compiled.data), spec=CV183X, schedule=schedule, seed=order_seed)
        got = runtime.run(feeds)
        for name in graph.outputs:
            assert np.array_equal(got[name].ravel(), want[name].ravel()), (name, schedule)


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize("seed", SEEDS)
def test_vendor_gives_every_layers_bytes(seed: int) -> None:
    graph, feeds = Network(seed).build()
    check_program(graph, feeds, keep_tensors=True, vendor=True)
    check_program(graph, feeds, lane_bytes=LANE_BYTES[seed % 3], vendor=True)
