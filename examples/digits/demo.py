#!/usr/bin/env python3
"""Converts the digit classifier for the CV183x and counts how often it is right.

    python examples/digits/demo.py

The INT8 network is the written file itself: our simulator decodes its instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

import cvi
from cvi.cli.progress import shown
from cvi.execute import float_session
from cvi.ir import Array, Graph
from cvi.plugins import executors
from cvi.preprocess.dataset import samples
from cvi_tpu.model import read_file
from cvi_tpu.runtime import Runtime

HERE = Path(__file__).parent
MODEL = HERE / "digits.onnx"
CALIBRATION = HERE / "calibration"
TEST = HERE / "test"
PROGRAM = Path("out") / "digits.cvimodel"

PIXELS = cvi.ImageOptions(gray=True, input_scale=1 / 255)
"""The network was trained on gray images in 0..1."""

Arrays = Mapping[str, Array]


def convert() -> cvi.Conversion:
    """The verified program file, calibrated with 100 images that are not tested below."""
    PROGRAM.parent.mkdir(exist_ok=True)
    with shown() as progress:
        return cvi.convert(
            MODEL,
            PROGRAM,
            chip="cv183x",
            image_options=PIXELS,
            dataset=CALIBRATION,
            progress=progress,
        )


def labelled_images(graph: Graph) -> Iterator[tuple[Arrays, int]]:
    """Network inputs and classes; the graph knows how its images are preprocessed."""
    lines = [line.split() for line in (TEST / "labels.txt").read_text().splitlines()]
    inputs = samples(graph, [TEST / name for name, _ in lines])
    yield from zip(inputs, (int(digit) for _, digit in lines), strict=True)


def top1(run: Callable[[Arrays], Arrays], graph: Graph) -> str:
    """How many test images get their class, as text."""
    right = [
        int(np.argmax(run(inputs)[graph.outputs[0]])) == digit
        for inputs, digit in labelled_images(graph)
    ]
    return f"{100 * np.mean(right):6.2f} %  ({sum(right)} of {len(right)})"


def main() -> None:
    result = convert()
    graph = result.graph
    program = Runtime(read_file(result.path))
    print(f"FP32 top-1: {top1(float_session(graph, executors=executors()).run, graph)}")
    print(f"INT8 top-1: {top1(program.run, graph)}")
    print(f"written:    {result.path} ({result.size / 1024:.1f} KiB)")


if __name__ == "__main__":
    main()
