"""What a user asks of a conversion, and what the stages have made of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cvi.calibrate.table import CalibrationTable
from cvi.compare import Comparison, Tolerance
from cvi.flow.images import ImageOptions
from cvi.flow.progress import Progress, Silent
from cvi.hookspecs import CompileOptions
from cvi.ir import Array, Graph
from cvi.precision import Precision, PrecisionPlan
from cvi.preprocess.dataset import Files

FLOAT_TOLERANCE = Tolerance(0.99, 0.99, 0.98)
QUANTISED_TOLERANCE = Tolerance(0.8, 0.8, 0.3)

AUTO = "auto"
"""The only output asked for: end the network before what cannot be done. Of other options:
what suits best."""

NEAREST, LEARNED = "nearest", "learned"
"""Roundings of weights, of which the second needs images; AUTO: learned from a few images where
there are some."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of a conversion; the public functions document each.

    model: a framework's model file or an fp32 IR file.
    random_weights: a seed from which weights that no file has are drawn, None: an error.
    images: the test input of every comparison; the first of the data set when empty.
    equalise: whether channels between filters are brought to one range.
    data: the samples of the calibration, each the files of one inference.
    rounding: of weights: "nearest", "learned" from `data`, or "auto": learned from a few samples
    where there are some, else nearest.
    mix_table: layers of another precision than the default of `quant`.
    correctness: None asks for equality of machine and quantised graph.
    own_thresholds: what becomes of thresholds that the model brings: "keep", "recalibrate",
    or "" for keeping them unless there are samples.
    """

    model: Path
    output: Path | None = None
    weights: Path | None = None
    random_weights: int | None = None
    model_type: str = ""
    batch: int | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    image_options: ImageOptions = field(default_factory=ImageOptions)
    images: tuple[Path, ...] = ()
    data: tuple[Files, ...] = ()
    equalise: bool = False
    method: str = "auto"
    bins: int = 2048
    calibration_table: Path | None = None
    chip: str = ""
    quant: str = "int8"
    rounding: str = AUTO
    mix_table: Path | None = None
    inputs_type: str = "auto"
    outputs_type: str | None = None
    compile_options: CompileOptions = field(default_factory=CompileOptions)
    own_thresholds: str = ""
    tolerance: Tolerance = FLOAT_TOLERANCE
    quant_tolerance: Tolerance = QUANTISED_TOLERANCE
    correctness: Tolerance | None = None
    excepts: tuple[str, ...] = ()
    verify: bool = True
    work_dir: Path | None = None

    @property
    def needs_thresholds(self) -> bool:
        """Whether layers may be computed in INT8: BF16 alone needs no calibration."""
        return Precision.of_scheme(self.quant) is Precision.INT8


@dataclass
class Job:
    """A conversion under way. Each stage reads what earlier ones have set.

    cut: the tensors at which the network ends, () for the model's own outputs.
    graph: float. values: its layers for the test inputs. quantised_values likewise.
    """

    request: Request
    progress: Progress = field(default_factory=Silent)
    cut: tuple[str, ...] = ()
    graph: Graph = field(init=False)
    inputs: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    table: CalibrationTable | None = None
    quantised: Graph = field(init=False)
    quantised_values: dict[str, Array] = field(default_factory=dict)
    program: bytes = b""
    comparisons: dict[str, Comparison] = field(default_factory=dict)

    def plan_of(self, graph: Graph) -> PrecisionPlan:
        """The precision of every layer. InputError when the mix table is of another network."""
        default = Precision.of_scheme(self.request.quant)
        if self.request.mix_table is None:
            return PrecisionPlan(default)
        return PrecisionPlan.read(self.request.mix_table, graph, default)

    @property
    def name(self) -> str:
        """Prefix of saved artefacts."""
        return self.graph.name or self.request.model.stem

    def artefact(self, suffix: str) -> Path | None:
        """Where an artefact `NAME_<suffix>` is kept, None when none are."""
        folder = self.request.work_dir
        return folder / f"{self.name}_{suffix}" if folder else None
