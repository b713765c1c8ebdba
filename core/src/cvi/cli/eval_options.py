"""Options of `cvi eval` and `cvi search`: what is evaluated, and with which labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cvi.cli.options import ModelOptions
    from cvi.evaluate.api import Evaluated
    from cvi.flow.images import ImageOptions

_LABELS = "Labels"
_FORM = "What is run"


@dataclass(frozen=True)
class LabelOptions:
    """Which images there are, their classes, and who works on them."""

    dataset: Annotated[
        Path,
        typer.Option(help="Images; without --labels a folder per class.", rich_help_panel=_LABELS),
    ]
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Lines `file class`, or `class` for the images in order, or JSON.",
            rich_help_panel=_LABELS,
        ),
    ] = None
    classes: Annotated[
        Path | None,
        typer.Option(help="Names of the classes, one per line.", rich_help_panel=_LABELS),
    ] = None
    label_offset: Annotated[
        int,
        typer.Option(
            help="Added to every class; 1 if the network counts the background first.",
            rich_help_panel=_LABELS,
        ),
    ] = 0
    input_num: Annotated[
        int, typer.Option(min=0, help="Images drawn (0: all).", rich_help_panel=_LABELS)
    ] = 0
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Processes.", rich_help_panel=_LABELS)
    ] = 1
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="A Dask scheduler, whose workers see the same files.",
            rich_help_panel=_LABELS,
        ),
    ] = ""


@dataclass(frozen=True)
class EvaluatedOptions:
    """In which form the network is run."""

    framework: Annotated[
        bool,
        typer.Option(
            "--framework", help="A model file in its own framework.", rich_help_panel=_FORM
        ),
    ] = False
    quant: Annotated[
        str,
        typer.Option(
            "--quant",
            help="Quantise first (int8, bf16, mixed) and run the reference.",
            rich_help_panel=_FORM,
        ),
    ] = ""
    chip: Annotated[str, typer.Option(help="The chip, with --quant.", rich_help_panel=_FORM)] = ""
    calibration_table: Annotated[
        Path | None, typer.Option(help="Thresholds of `cvi calibrate`.", rich_help_panel=_FORM)
    ] = None
    mix_precision_table: Annotated[
        Path | None, typer.Option(help="Layers of another precision.", rich_help_panel=_FORM)
    ] = None
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph", help="The fp32 IR file that a cvimodel was made from.", rich_help_panel=_FORM
        ),
    ] = None
    runner: Annotated[
        str, typer.Option(help="simulator or vendor, for a cvimodel.", rich_help_panel=_FORM)
    ] = "simulator"
    output: Annotated[
        str,
        typer.Option("--output", help="The tensor with the scores.", rich_help_panel=_FORM),
    ] = ""
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="BF16 sums in the hardware's order (slow).", rich_help_panel=_FORM
        ),
    ] = False

    def evaluated(self, model: Path, reading: ModelOptions, pixels: ImageOptions) -> Evaluated:
        """The options as the public API takes them."""
        from cvi.evaluate.api import Evaluated

        return Evaluated(
            model=model,
            framework=self.framework,
            weights=reading.weights,
            model_type=reading.model_type,
            batch=reading.batch_size,
            input_shapes=reading.shapes,
            outputs=reading.output_names,
            image_options=pixels,
            quant=self.quant.lower(),
            chip=self.chip,
            calibration_table=self.calibration_table,
            mix_precision_table=self.mix_precision_table,
            graph=self.graph,
            runner=self.runner,
            output=self.output,
            exact=self.exact,
        )
