"""Options that several commands share, declared once each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvi.cli import parse

if TYPE_CHECKING:
    from cvi.compare import Tolerance
    from cvi.flow.images import ImageOptions

_MODEL = "Model"
_PIXELS = "Preprocessing"
_VERIFY = "Verification"
_DATA = "Calibration"
_CHIP = "Chip"

ModelFile = Annotated[Path, typer.Argument(help="The model file.", show_default=False)]
GraphFile = Annotated[
    Path, typer.Argument(help="An fp32 IR file of `cvi transform`.", show_default=False)
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The file to write.")]
Equalize = Annotated[
    bool,
    typer.Option(
        "--equalize",
        help="Bring the channels between filters to one range (cross-layer equalization).",
        rich_help_panel=_DATA,
    ),
]

WorkDir = Annotated[
    Path | None, typer.Option("--work-dir", help="Keep the intermediate results in this folder.")
]


@dataclass(frozen=True)
class ModelOptions:
    """How the model file is read."""

    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            "--model-data",
            help="The file of the weights, where it is not the model file.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    random_weights: Annotated[
        int | None,
        typer.Option(
            "--random-weights",
            metavar="SEED",
            min=0,
            help="Draw the weights that no file has, to try an architecture.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    model_type: Annotated[
        str,
        typer.Option(
            "--model-type", help="onnx, caffe …; default: by content.", rich_help_panel=_MODEL
        ),
    ] = ""
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            "--batch",
            min=0,
            help="Batch size; default and 0: the model's.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--input-shape",
            metavar="NAME=1,3,H,W",
            help="Shape of an input, repeatable.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--outputs",
            metavar="NAME,…",
            help="End the network at these tensors or layers, repeatable, or before what "
            "cannot be done: auto.",
            rich_help_panel=_MODEL,
        ),
    ] = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return parse.shapes("--input-shape", self.input_shape or [])

    @property
    def output_names(self) -> tuple[str, ...]:
        return parse.names(self.outputs or [])

    @property
    def batch_size(self) -> int | None:
        return self.batch or None


@dataclass(frozen=True)
class PixelOptions:
    """How an image becomes a network input."""

    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="A common preprocessing, e.g. imagenet-torch; single options override it.",
            rich_help_panel=_PIXELS,
        ),
    ] = None
    net_input_dims: Annotated[
        str | None,
        typer.Option(
            "--net-input-dims",
            metavar="H,W",
            help="Size of the network input; default: the model's.",
            rich_help_panel=_PIXELS,
        ),
    ] = None
    resize_dims: Annotated[
        str | None,
        typer.Option(
            "--image-resize-dims",
            "--resize-dims",
            metavar="H,W",
            help="Resize to this, then crop to the input.",
            rich_help_panel=_PIXELS,
        ),
    ] = None
    keep_aspect_ratio: Annotated[
        bool | None,
        typer.Option(
            "--keep-aspect-ratio/--no-keep-aspect-ratio",
            help="Letterbox with black.",
            rich_help_panel=_PIXELS,
        ),
    ] = None
    crop_method: Annotated[
        str | None,
        typer.Option("--crop-method", help="center or right.", rich_help_panel=_PIXELS),
    ] = None
    raw_scale: Annotated[
        float | None,
        typer.Option(
            "--raw-scale", help="Pixels are scaled to 0..this (255).", rich_help_panel=_PIXELS
        ),
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean", metavar="C,…", help="Subtracted, in channel order.", rich_help_panel=_PIXELS
        ),
    ] = None
    std: Annotated[
        str | None,
        typer.Option(
            "--std", metavar="C,…", help="Divided by after the mean.", rich_help_panel=_PIXELS
        ),
    ] = None
    input_scale: Annotated[
        float | None,
        typer.Option("--input-scale", help="Multiplied last.", rich_help_panel=_PIXELS),
    ] = None
    channel_order: Annotated[
        str | None,
        typer.Option(
            "--model-channel-order",
            "--channel-order",
            help="bgr, rgb or rgba: what the network wants.",
            rich_help_panel=_PIXELS,
        ),
    ] = None
    pixel_format: Annotated[
        str | None,
        typer.Option("--pixel-format", help="Of the board's frames.", rich_help_panel=_PIXELS),
    ] = None
    gray: Annotated[
        bool | None, typer.Option("--gray/--no-gray", help="Gray images.", rich_help_panel=_PIXELS)
    ] = None

    def parsed(self) -> ImageOptions:
        """The options as the public API takes them."""
        from cvi.flow.images import ImageOptions

        return ImageOptions(
            preset=self.preset,
            net_input_dims=parse.dims("--net-input-dims", self.net_input_dims),
            resize_dims=parse.dims("--image-resize-dims", self.resize_dims),
            keep_aspect_ratio=self.keep_aspect_ratio,
            crop=self.crop_method,
            raw_scale=self.raw_scale,
            mean=parse.floats("--mean", self.mean),
            std=parse.floats("--std", self.std),
            input_scale=self.input_scale,
            channel_order=self.channel_order.lower() if self.channel_order else None,
            pixel_format=self.pixel_format,
            gray=self.gray,
        )


@dataclass(frozen=True)
class DataOptions:
    """Which images thresholds are found and rounding is learned from."""

    dataset: Annotated[
        Path | None,
        typer.Option(help="A folder of typical images.", rich_help_panel=_DATA),
    ] = None
    image_list: Annotated[
        Path | None,
        typer.Option(help="A text file with one sample per line.", rich_help_panel=_DATA),
    ] = None
    input_num: Annotated[
        int,
        typer.Option(
            min=0, help="How many files of the folder are used (0: all).", rich_help_panel=_DATA
        ),
    ] = 100
    method: Annotated[
        str,
        typer.Option(
            help="kld, max, percentile, mse, or auto: each layer's best by trials.",
            rich_help_panel=_DATA,
        ),
    ] = "auto"
    histogram_bin_num: Annotated[
        int, typer.Option(help="Bins of the histograms.", rich_help_panel=_DATA)
    ] = 2048


@dataclass(frozen=True)
class VerifyOptions:
    """What results are compared with, and what is left out."""

    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            help="Test input: an image, .npz or .npy; several inputs by commas.",
            rich_help_panel=_VERIFY,
        ),
    ] = None
    excepts: Annotated[
        list[str] | None,
        typer.Option(
            "--excepts",
            metavar="NAME,…",
            help="Layers that are not compared.",
            rich_help_panel=_VERIFY,
        ),
    ] = None
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Compare nothing.", rich_help_panel=_VERIFY)
    ] = False

    @property
    def images(self) -> tuple[Path, ...]:
        return parse.paths(self.image or [])

    @property
    def excepted(self) -> tuple[str, ...]:
        return parse.names(self.excepts or [])


@dataclass(frozen=True)
class ChipOptions:
    """What code is generated."""

    chip: Annotated[
        str,
        typer.Option(help="cv183x …; `cvi chips` lists them.", rich_help_panel=_CHIP),
    ]
    quant: Annotated[
        str,
        typer.Option(
            "--quant",
            "--quantize",
            help="Precision: int8, bf16, mix_bf16 (BF16 with weights in int8), or mixed (INT8 "
            "where it can be).",
            rich_help_panel=_CHIP,
        ),
    ] = "int8"
    rounding: Annotated[
        str,
        typer.Option(
            metavar="auto|nearest|learned",
            help="Of weights: to nearest, or as suits the images of --dataset best; auto: learned "
            "from a few images.",
            rich_help_panel=_CHIP,
        ),
    ] = "auto"
    all_bf16: Annotated[
        bool, typer.Option("--all-bf16", help="The same as --quant bf16.", rich_help_panel=_CHIP)
    ] = False
    mix_precision_table: Annotated[
        Path | None,
        typer.Option(
            help="Layers of another precision: lines NAME (BF16) or NAME MODE; with INT8 this "
            "means --quant mixed.",
            rich_help_panel=_CHIP,
        ),
    ] = None
    inputs_type: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            help="int8, bf16 or fp32: what is fed; auto: as the first layers compute.",
            rich_help_panel=_CHIP,
        ),
    ] = "auto"
    outputs_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="int8, bf16 or fp32: what comes out; fp32 unless the chip cannot cast.",
            rich_help_panel=_CHIP,
        ),
    ] = None
    keep_tensors: Annotated[
        bool,
        typer.Option(
            "--keep-tensors", help="Every layer stays readable in memory.", rich_help_panel=_CHIP
        ),
    ] = False
    correctness: Annotated[
        str | None,
        typer.Option(
            metavar="COS,COR,EUC",
            help="Accept similarity of program and quantised graph (default: equality).",
            rich_help_panel=_VERIFY,
        ),
    ] = None

    @property
    def scheme(self) -> str:
        """The scheme that the options ask for together."""
        if self.all_bf16:
            return "bf16"
        asked = self.quant.lower()
        return "mixed" if asked == "int8" and self.mix_precision_table else asked


def tolerance(option: str, text: str) -> Tolerance:
    """Three numbers; an error names the option."""
    from cvi.compare import Tolerance
    from cvi.errors import InputError

    try:
        return Tolerance.parse(text)
    except InputError as error:
        error.where = option
        raise


def correctness(options: ChipOptions) -> Tolerance | None:
    """The asked similarity, None for equality."""
    if options.correctness is None:
        return None
    return tolerance("--correctness", options.correctness)
