"""Feeds damaged files to commands; a child process, for a mutant may crash or hang it.

    python bad_input_child.py FOLDER KIND FIRST END

For every seed FIRST ≤ seed < END one line of JSON on stdout: the seed, and "done",
"refused", or what went wrong. A mutant may use `SECONDS` of CPU (else SIGPROF ends the
process) and `BYTES` of memory more than the process had before (else MemoryError).
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mutants
from cvi import plugins
from cvi.cli import main
from cvi.cli.invoke import invoke
from cvi.errors import CviError
from cvi.ir.weights import weights_path

SECONDS = 10
BYTES = 1 << 30
EVERY = 20
"""How often the whole command line is tried, with its messages and exit codes."""


@dataclass(frozen=True)
class Kind:
    """What is damaged and how, and the commands that then read it.

    originals: glob of the sound files. commands: word lists with {mutant} and {stem}.
    """

    originals: str
    mutators: Sequence[mutants.Mutator]
    commands: Sequence[str]


_DEPLOY = "deploy net.cvi.json --calibration-table {mutant} --chip cv183x -o out/result.cvimodel"

KINDS = {
    "onnx": Kind(
        "*.onnx",
        (*mutants.ANY_FORMAT, *[mutants.onnx_changed] * 6),
        ("check {mutant} --chip cv183x", "inspect {mutant}"),
    ),
    "converted onnx": Kind(
        "*.onnx",
        (mutants.flipped, mutants.onnx_changed, mutants.onnx_changed),
        (
            "convert {mutant} --chip cv183x --gray --input-scale 0.004 --dataset image.png"
            " --tolerance=-1,-1,-9 --quant-tolerance=-1,-1,-9 -o out/result.cvimodel",
        ),
    ),
    "tflite": Kind(
        "*.tflite",
        (*mutants.ANY_FORMAT, *[mutants.flipped] * 4, *[mutants.words_changed] * 4),
        ("inspect {mutant}", "convert {mutant} --chip cv183x --no-verify -o out/result.cvimodel"),
    ),
    "prototxt": Kind(
        "*.prototxt",
        (*mutants.ANY_FORMAT, mutants.text_changed, *[mutants.digit_changed] * 4),
        (
            "check {mutant} --weights {stem}.caffemodel --chip cv183x",
            "inspect {mutant} --random-weights 1",
        ),
    ),
    "caffemodel": Kind(
        "*.caffemodel",
        (*mutants.ANY_FORMAT, mutants.words_changed),
        ("inspect {stem}.prototxt --weights {mutant}", "inspect {mutant}"),
    ),
    "converted prototxt": Kind(
        "*.prototxt",
        (mutants.flipped, *[mutants.digit_changed] * 2),
        (
            "convert {mutant} --weights {stem}.caffemodel --chip cv183x --gray"
            " --input-scale 0.004 --dataset image.png"
            " --tolerance=-1,-1,-9 --quant-tolerance=-1,-1,-9 -o out/result.cvimodel",
        ),
    ),
    "table": Kind(
        "net.table",
        (mutants.text_changed, mutants.text_changed, *mutants.ANY_FORMAT),
        (f"{_DEPLOY} --no-verify", f"{_DEPLOY} --image image.png --tolerance=-1,-1,-9"),
    ),
    "image": Kind(
        "image.*",
        (*mutants.ANY_FORMAT, mutants.words_changed),
        ("calibrate net.cvi.json --dataset {mutant} -o out/result.table",),
    ),
    "cvimodel": Kind(
        "*.cvimodel",
        (
            *(mutants.words_changed, mutants.truncated, mutants.inserted),
            *[mutants.description_changed] * 3,
            *[mutants.commands_changed] * 4,
            *[mutants.instructions_changed] * 6,
            *[mutants.fields_changed] * 6,
        ),
        (
            "model dump {mutant}",
            "model disasm {mutant}",
            "run {mutant} --input {stem}.npz --all-tensors --timeout 5 -o out/result.npz",
            "run {mutant} --input {stem}.npz --program 1 --timeout 5",
        ),
    ),
    "graph": Kind(
        "net.cvi.json",
        (mutants.json_changed, *[mutants.digit_changed] * 6, *mutants.ANY_FORMAT),
        (
            "run {mutant} --input image.png",
            "calibrate {mutant} --dataset image.png -o out/result.table",
        ),
    ),
}


def damaged(kind: Kind, seed: int) -> tuple[Path, str]:
    """Writes the mutant of a seed; its path, and the stem of its original."""
    rng = random.Random(seed)
    originals = sorted(Path().glob(kind.originals))
    original = originals[seed % len(originals)]
    mutant = Path(f"out/mutant{''.join(original.suffixes)}")
    mutant.write_bytes(rng.choice(kind.mutators)(original.read_bytes(), rng))
    if original.name.endswith(".cvi.json"):
        shutil.copy(weights_path(original), mutant.parent)  # the JSON names the file
    return mutant, original.name.partition(".")[0]


def outcome(words: Sequence[str], mutant: Path) -> str:
    """Run one command: "done", "refused", or what is wrong with its end."""
    try:
        code = invoke(plugins.commands()[words[0]], words[1:])
    except CviError as error:
        if not error.why or not error.where:
            return f"an error without place: {error!r}"
        return "refused"
    return "done" if code == 0 else "refused" if code in (1, 3) else f"exit code {code}"


def message_outcome(words: Sequence[str], mutant: Path) -> str:
    """Run the whole command line: exit code 0, or one message."""
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown):
        code = main(words)
    lines = shown.getvalue().splitlines()
    errors = [line for line in lines if line.startswith(("error", "internal error"))]
    if code == 0:
        return "done" if not errors else f"exit code 0 with {errors}"
    fine = code in (1, 2, 3) and len(errors) <= 1 and "Traceback" not in shown.getvalue()
    return "refused" if fine and "internal" not in "".join(errors) else shown.getvalue()


def limited(run: Callable[[], str]) -> str:
    """The outcome of a run within the limits of time and memory."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return run()
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def attempts(kind: Kind, seed: int) -> dict[str, Any]:
    """All commands on the mutant of a seed."""
    mutant, stem = damaged(kind, seed)
    run = message_outcome if seed % EVERY == 0 else outcome
    results = []
    for command in kind.commands:
        words = command.format(mutant=mutant, stem=stem).split()
        results.append(limited(lambda words=words: run(words, mutant)))  # type: ignore[misc]
        if left := [p.name for p in Path("out").iterdir() if p.name.startswith(".")]:
            results.append(f"temporary files are left: {left}")
    for output in Path("out").iterdir():
        output.unlink()
    return {"seed": seed, "results": results}


def _warm_up(kind: Kind) -> None:
    """Import everything and start all threads on sound files, before memory is counted."""
    for original in sorted(Path().glob(kind.originals)):
        stem = original.name.partition(".")[0]
        for command in kind.commands:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(CviError):
                words = command.format(mutant=original, stem=stem).split()
                invoke(plugins.commands()[words[0]], words[1:])


if __name__ == "__main__":
    import os
    import warnings

    os.chdir(sys.argv[1])
    Path("out").mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    chosen = KINDS[sys.argv[2]]
    _warm_up(chosen)
    for number in range(int(sys.argv[3]), int(sys.argv[4])):
        print(json.dumps({"seed": number, "results": []}), flush=True)
        print(json.dumps(attempts(chosen, number)), flush=True)
