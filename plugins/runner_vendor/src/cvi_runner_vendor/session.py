"""A child process that keeps one model loaded: many runs, one start."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cvi.errors import InputError, RunnerError
from cvi.files import scratch_folder
from cvi.ir.types import Array
from cvi_runner_vendor import libraries
from cvi_runner_vendor.encode import stored

if TYPE_CHECKING:
    from typing_extensions import Self

_LOG_LINES = 8


@dataclass(frozen=True)
class TensorInfo:
    """A program's input or output as the runtime describes it.

    format: element type of the file ("fp32", "int8", "bf16", …); bytes: size in memory.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    bytes: int
    qscale: float
    zero_point: int
    aligned: bool


class Session:
    """One program of a model on the vendor's runtime.

    timeout: seconds for loading, and for each run. Use as a context manager, or `close`.
    Raises RunnerError, with the vendor's last log lines, when the file is refused and when
    the runtime aborts, crashes or does not end; the session is unusable afterwards.
    """

    def __init__(
        self,
        path: Path,
        *,
        program: int = 0,
        all_tensors: bool = False,
        timeout: float = 600.0,
        library: Path | None = None,
    ) -> None:
        if not path.is_file():
            raise InputError("no such file", where=str(path))
        self._path, self._timeout, self._pending = path, timeout, b""
        job = {
            "model": str(path.resolve()),
            "library": str(libraries.find(library)),
            "program": program,
            "all_tensors": all_tensors,
        }
        self._scratch = ExitStack()
        self._folder = self._scratch.enter_context(scratch_folder("cvi-vendor-"))
        (self._folder / "job.json").write_text(json.dumps(job))
        self._start()
        try:
            described = self._answer()
        except RunnerError:
            self.close()
            raise
        self.inputs = tuple(_info(entry) for entry in described["inputs"])
        self.outputs = tuple(_info(entry) for entry in described["outputs"])

    def _start(self) -> None:
        asks_read, self._asks = os.pipe()
        self._answers, answers_write = os.pipe()
        command = [sys.executable, "-m", "cvi_runner_vendor.child", str(self._folder)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        with (self._folder / "log").open("wb") as log:
            self._child = subprocess.Popen(
                [*command, str(asks_read), str(answers_write)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(asks_read, answers_write),
                cwd=self._folder,
                env=environment,
            )
        os.close(asks_read)
        os.close(answers_write)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name in their stored types; BF16 as uint16.

        Floats for an integer input are quantised as the vendor's runtime does.
        """
        unknown = sorted(set(inputs) - {t.name for t in self.inputs})
        absent = [t.name for t in self.inputs if t.name not in inputs]
        if absent or unknown:
            raise InputError(
                f"the program reads {', '.join(t.name for t in self.inputs)};"
                f" given: {', '.join(inputs) or 'nothing'}",
                where=str(self._path),
            )
        arrays: dict[str, Any] = {t.name: stored(inputs[t.name], t) for t in self.inputs}
        np.savez(self._folder / "in.npz", **arrays)
        try:
            os.write(self._asks, b"run\n")
        except BrokenPipeError:
            raise self._death() from None
        self._answer()
        with np.load(self._folder / "out.npz", allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def _answer(self) -> dict[str, Any]:
        end = time.monotonic() + self._timeout
        while b"\n" not in self._pending:
            left = max(0.0, end - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                self._child.kill()
                raise self._error(f"the vendor's runtime gave no result in {self._timeout:g} s")
            data = os.read(self._answers, 65536)
            if not data:
                raise self._death()
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise self._error(f"the vendor's runtime refused: {answer['why']}")
        return answer

    def _death(self) -> RunnerError:
        code = self._child.wait()
        try:
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        except ValueError:
            name = f"signal {-code}"
        return self._error(f"the vendor's runtime died with {name}")

    def _error(self, why: str) -> RunnerError:
        try:
            log = (self._folder / "log").read_text(errors="replace")
        except OSError:
            log = ""
        lines = [line for line in log.splitlines() if line.strip()][-_LOG_LINES:]
        text = "\n".join([why, *(f"  | {line}" for line in lines)])
        return RunnerError(text, where=str(self._path))

    def close(self) -> None:
        """End the child and remove its files."""
        for end in (self._asks, self._answers):
            try:
                os.close(end)
            except OSError:
                continue
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _info(entry: dict[str, Any]) -> TensorInfo:
    return TensorInfo(**{**entry, "shape": tuple(entry["shape"])})
