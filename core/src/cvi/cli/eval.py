"""`cvi eval`: the accuracy of a classifier over a labelled data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvi.cli.eval_options import EvaluatedOptions, LabelOptions
from cvi.cli.groups import grouped
from cvi.cli.options import ModelOptions, PixelOptions, WorkDir

if TYPE_CHECKING:
    from cvi.evaluate.accuracy import Accuracy

app = typer.Typer(add_completion=False)

EvaluatedFile = Annotated[
    Path, typer.Argument(help="A model file, an IR file or a cvimodel.", show_default=False)
]


@app.command()
@grouped
def evaluate(
    model: EvaluatedFile,
    data: LabelOptions,
    form: EvaluatedOptions,
    reading: ModelOptions,
    pixels: PixelOptions,
    top: Annotated[str, typer.Option(metavar="K,…", help="Which top-k are counted.")] = "1,5",
    csv: Annotated[
        Path | None, typer.Option("-o", "--output-csv", help="Write every prediction here.")
    ] = None,
    work_dir: WorkDir = None,
) -> None:
    """Classify labelled images with framework, float or quantised graph, or program."""
    import cvi
    from cvi.cli import parse
    from cvi.cli.progress import shown

    tops = parse.counts("--top", top)
    with shown() as progress:
        result = cvi.evaluate_classifier(
            form.evaluated(model, reading, pixels.parsed()),
            dataset=data.dataset,
            labels=data.labels,
            classes=data.classes,
            label_offset=data.label_offset,
            input_num=data.input_num,
            jobs=data.jobs,
            scheduler=data.scheduler,
            work_dir=work_dir,
            progress=progress,
        )
    for k in tops:
        typer.echo(f"top-{k}: {result.top(k):.2%} ({result.hits(k)} of {result.count})")
    if csv:
        _write(csv, result, tops)


def _write(path: Path, result: Accuracy, tops: tuple[int, ...]) -> None:
    from csv import writer
    from io import StringIO

    from cvi.evaluate.accuracy import table
    from cvi.files import atomic_write_bytes

    text = StringIO()
    writer(text, lineterminator="\n").writerows(table(result, tops))
    atomic_write_bytes(path, text.getvalue().encode())
