"""The losses that a search has found so far, as a file: an interrupted search goes on there.

The first line names what was measured by a digest; then one line of JSON per layer, each
written and flushed as soon as it is known. A last line that was cut off is passed over. A
file of something else is begun anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cvi.ir import Array, Graph
from cvi.search.sensitivity import Loss

_FORMAT = "cvi losses 2"


class Journal:
    """Losses by layer, in a file when there is a path."""

    def __init__(self, path: Path | None, digest: str) -> None:
        self._path = path
        self._head = {"format": _FORMAT, "digest": digest}
        self.losses: dict[str, Loss] = self._read() if path else {}
        if path and not self.losses:
            path.write_text(json.dumps(self._head) + "\n")

    def add(self, loss: Loss) -> None:
        """Note a loss, in the file too before this returns."""
        self.losses[loss.layer] = loss
        if self._path is None:
            return
        with self._path.open("a") as file:
            file.write(json.dumps([loss.layer, loss.loss, loss.rounding]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> dict[str, Loss]:
        assert self._path is not None
        try:
            lines = self._path.read_text().split("\n")
        except (OSError, UnicodeDecodeError):
            return {}
        whole = [_parsed(line) for line in lines[:-1]]
        if not whole or whole[0] != self._head:
            return {}
        if lines[-1]:  # cut off while it was written: leave only whole lines
            self._path.write_text("".join(f"{line}\n" for line in lines[:-1]))
        found = [Loss(*line) for line in whole[1:] if isinstance(line, list) and len(line) == 3]
        return {loss.layer: loss for loss in found}


def _parsed(line: str) -> object:
    try:
        parsed: object = json.loads(line)
    except ValueError:
        return None
    return parsed


def digest_of(graph: Graph, quantised: Graph, images: Iterable[Mapping[str, Array]]) -> str:
    """Of everything that the losses depend on."""
    seen = hashlib.sha256()
    for made in (graph, quantised):
        for op in made.ops:
            seen.update(repr(op).encode())
        for name, array in sorted(made.constants.items()):
            seen.update(f"{name} {array.dtype} {array.shape}".encode())
            seen.update(memoryview(array.tobytes()))
    for image in images:
        for name, array in sorted(image.items()):
            seen.update(name.encode())
            seen.update(memoryview(array.tobytes()))
    return seen.hexdigest()
