"""Converts a network and holds the program against everything that can tell it is wrong.

Two program files are made, one in which every layer's result can be read and the one that
users get. Each is compared with the vendor's own runtime and simulator, tensor by tensor;
checked for races between the engines; and run in many interleavings of them. The outputs
are compared with the original network in onnxruntime. The conversion itself has by then
compared every layer with floats and every tensor with the quantised graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from benchmarks.zoo import ModelFiles, ZooModel

import cvi
from cvi.compare import compare_tensors
from cvi.flow.api import Conversion
from cvi.flow.batches import batched_as
from cvi.flow.job import Request
from cvi.flow.loading import frontend_of
from cvi.ir import Array, Input
from cvi.preprocess.dataset import find_images, samples
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.isa.stream import parse_cmdbuf
from cvi_tpu.model import CviModelFile, read_file
from cvi_tpu.runtime import Runtime
from cvi_tpu.runtime.runtime import chip_spec
from cvi_tpu.sim.schedule import Schedule

Values = Mapping[str, Array]


@dataclass
class Tally:
    """What was compared, and how much of it differs.

    bytes: of integer tensors, which must be equal. floats: elements of fp32 tensors, which
    the CPU's functions make and which may differ by one unit in the last place; inexact:
    how many of them do. problems: one line per tensor that is wrong.
    """

    tensors: int = 0
    bytes: int = 0
    mismatches: int = 0
    floats: int = 0
    inexact: int = 0
    problems: list[str] = field(default_factory=list)

    def compare(self, where: str, ours: Values, theirs: Values) -> None:
        """Add the tensors of one run; a tensor that only one side has is a problem."""
        for name in sorted(set(ours) ^ set(theirs)):
            self.problems.append(f"{where}: {name} is in one of the results only")
        for name in sorted(set(ours) & set(theirs)):
            self._tensor(f"{where}: {name}", ours[name].reshape(-1), theirs[name].reshape(-1))

    def _tensor(self, where: str, ours: Array, theirs: Array) -> None:
        self.tensors += 1
        if ours.dtype != theirs.dtype or ours.size != theirs.size:
            self.problems.append(
                f"{where}: {ours.dtype}[{ours.size}], {theirs.dtype}[{theirs.size}]"
            )
        elif ours.dtype == np.float32:
            self._floats(where, ours, theirs)
        else:
            self._integers(where, ours, theirs)

    def _integers(self, where: str, ours: Array, theirs: Array) -> None:
        wrong = int(np.count_nonzero(ours.view(np.uint8) != theirs.view(np.uint8)))
        self.bytes += ours.nbytes
        self.mismatches += wrong
        if wrong:
            self.problems.append(f"{where}: {wrong} of {ours.nbytes} bytes differ")

    def _floats(self, where: str, ours: Array, theirs: Array) -> None:
        apart = ulps(ours, theirs)
        self.floats += ours.size
        self.inexact += int(np.count_nonzero(apart))
        if apart.max(initial=0) > 1:
            wrong = int(np.count_nonzero(apart > 1))
            self.problems.append(f"{where}: {wrong} of {ours.size} are up to {apart.max()} ULP off")


def ulps(a: Array, b: Array) -> Array:
    """How many fp32 numbers lie between the elements of two fp32 arrays (int64).

    Zeros of both signs are one number; NaN is infinitely far from all but its own bits.
    """
    places = []
    for array in (a, b):
        bits = np.ascontiguousarray(array).view(np.int32).astype(np.int64)
        places.append(np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))
    apart: Array = np.abs(places[0] - places[1])
    apart[np.isnan(a) ^ np.isnan(b)] = 1 << 32
    return apart


@dataclass(frozen=True)
class Verification:
    """The outcome for one model, chip and batch.

    vendor: comparison with the vendor's simulator, None when it is not installed. orders:
    interleavings that were run; reordered: their comparison with program order. cosine: of
    the worst output to the original network, for the model's own image. commands: of both
    files.
    """

    model: ZooModel
    chip: str
    quant: str
    batch: int
    layers: int
    commands: int
    vendor: Tally | None
    orders: int
    reordered: Tally
    races: tuple[str, ...]
    cosine: float

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong, empty for a correct program."""
        found = [*(self.vendor.problems if self.vendor else ()), *self.reordered.problems]
        found += self.races
        if not self.cosine >= self.model.least_cosine:
            found.append(f"cosine to fp32 is {self.cosine:.4f}, below {self.model.least_cosine}")
        return found


def verify(
    model: ZooModel,
    folder: Path,
    *,
    vendor: bool = True,
    chip: str = "cv183x",
    quant: str = "int8",
    mixed_every: int = 0,
    batch: int = 1,
    kept_on_vendor: bool = True,
    reordered: bool = True,
) -> Verification:
    """Convert a model in `folder` and compare as the module says.

    vendor: whether the vendor's libraries are there. mixed_every: of how many layers one is
    planned in BF16 (quant "mixed"), 0 for none. kept_on_vendor: whether the file that
    keeps all layers runs on the vendor's simulator too. reordered: whether the other one
    runs in other orders than the program's. A calibration table that an earlier call left in
    the folder is used again. CviError when the conversion, which verifies too, fails.
    """
    files = model.files(folder)
    mix = mix_table(model, files, folder, mixed_every) if mixed_every else None
    kept, plain = convert(model, files, folder, chip=chip, quant=quant, mix=mix, batch=batch)
    fed = next(samples(kept.graph, test_files(model, batch)))
    tally, commands, races = Tally(), 0, []
    values: dict[str, Array] = {}
    for conversion in (kept, plain):
        program = read_file(conversion.path)
        values = Runtime(program).run(fed, all_tensors=True)
        if vendor and (kept_on_vendor or conversion is plain):
            tally.compare(conversion.path.stem, values, on_vendor(conversion.path, fed))
        for number, stream in enumerate(routines(program)):
            commands += len(stream)
            where = f"{conversion.path.stem}, routine {number}"
            races += [f"{where}: {race}" for race in find_races(stream, chip_spec(chip))]
    orders, other_orders = 1, Tally()
    if reordered:
        program = read_file(plain.path)
        orders, other_orders = interleave(program, fed, values, model.random_orders)
    return Verification(
        model=model,
        chip=chip,
        quant=quant,
        batch=batch,
        layers=len(kept.graph.ops) - len(kept.graph.inputs),
        commands=commands,
        vendor=tally if vendor else None,
        orders=orders,
        reordered=other_orders,
        races=tuple(races),
        cosine=worst_cosine(plain, values, files, fed),
    )


def test_files(model: ZooModel, batch: int) -> list[tuple[Path, ...]]:
    """As many test images as a batch has: the model's own, then some of its data set."""
    return [(model.image,), *find_images(model.dataset)[: batch - 1]]


def mix_table(model: ZooModel, files: ModelFiles, folder: Path, every: int) -> Path:
    """A mix table that plans one of `every` layers in BF16."""
    graph = cvi.load(
        files.model,
        weights=files.weights,
        random_weights=files.random_weights,
        input_shapes=model.input_shapes,
    )
    layers = [op.name for op in graph.ops if not isinstance(op, Input)]
    path = folder / f"{model.name}.mix"
    path.write_text("".join(f"{name}\n" for name in layers[every - 1 :: every]))
    return path


def convert(
    model: ZooModel,
    files: ModelFiles,
    folder: Path,
    *,
    chip: str,
    quant: str,
    mix: Path | None = None,
    batch: int = 1,
) -> tuple[Conversion, Conversion]:
    """The program with all tensors kept, verified, and the one that users get."""
    table = folder / f"{model.name}.table"
    kept = cvi.convert(
        files.model,
        folder / f"{model.name}_kept.cvimodel",
        chip=chip,
        quant=quant,
        weights=files.weights,
        random_weights=files.random_weights,
        batch=batch if batch > 1 else None,
        input_shapes=model.input_shapes,
        image_options=model.pixels,
        images=(model.image,),
        dataset=model.dataset,
        input_num=model.images,
        method=model.method,
        calibration_table=table if table.exists() else None,
        mix_precision_table=mix,
        keep_tensors=True,
        quant_tolerance=model.quant_tolerance,
        rounding="nearest",
    )
    if kept.table is not None:
        kept.table.write(table)
    plain = cvi.convert(
        files.model,
        folder / f"{model.name}.cvimodel",
        chip=chip,
        quant=quant,
        weights=files.weights,
        random_weights=files.random_weights,
        batch=batch if batch > 1 else None,
        input_shapes=model.input_shapes,
        image_options=model.pixels,
        calibration_table=table if kept.table else None,
        mix_precision_table=mix,
        verify=False,
    )
    return kept, plain


def on_vendor(path: Path, inputs: Values, timeout: float = 600) -> dict[str, Array]:
    """All tensors that the vendor's runtime shows."""
    from cvi_runner_vendor.runner import VendorRunner

    return VendorRunner().run(path, inputs, all_tensors=True, timeout=timeout)


def routines(program: CviModelFile) -> Iterator[list[Command]]:
    """The commands of each TPU routine, decoded from the file."""
    for one in program.programs:
        for routine in one.routines:
            if routine.tpu is not None and routine.tpu.cmdbuf is not None:
                section = program.section(routine.tpu.cmdbuf)
                yield parse_cmdbuf(section.content(), chip_spec(program.chip))


def interleave(
    program: CviModelFile, inputs: Values, expected: Values, random_orders: int
) -> tuple[int, Tally]:
    """Run under TIU first, TDMA first and random orders; compare with program order."""
    orders = [(Schedule.TIU_FIRST, 0), (Schedule.TDMA_FIRST, 0)]
    orders += [(Schedule.RANDOM, seed) for seed in range(random_orders)]
    tally = Tally()
    for schedule, seed in orders:
        got = Runtime(program, schedule=schedule, seed=seed).run(inputs, all_tensors=True)
        tally.compare(f"order {schedule.value} {seed}", got, expected)
    return len(orders) + 1, tally


def worst_cosine(conversion: Conversion, ours: Values, files: ModelFiles, inputs: Values) -> float:
    """The least cosine of a program's outputs for the first image to the original network's,
    as its framework computes them. Integers are compared in their steps, which changes no
    cosine."""
    graph, quantised = conversion.graph, conversion.quantised
    fed = {op.source or op.name: inputs[op.name] for op in graph.inputs}
    batch = len(next(iter(fed.values())))
    wanted = {name: graph[name].source for name in graph.outputs}
    request = Request(model=files.model, weights=files.weights, random_weights=files.random_weights)
    theirs = frontend_of(request).reference(
        files.model, fed, weights=files.weights, tensors=list(wanted.values())
    )
    cosines = []
    for float_name, name in zip(graph.outputs, quantised.outputs, strict=True):
        expected = batched_as(theirs[wanted[float_name]], graph[float_name].type.shape)
        got = ours[name].astype(np.float32).reshape(expected.shape)
        first = slice(1) if len(expected) == batch else slice(None)
        cosines.append(compare_tensors(got[first], expected[first]).cosine)
    return min(cosines)
