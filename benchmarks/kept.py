"""Measurements that take long, each made once: a folder keeps them as files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any


class KeptFolder:
    """Finished measurements (dataclasses of plain data) as JSON files of a folder, so that
    a benchmark that was stopped goes on where it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> Any:
        """The measurement as plain data, None when there is none yet."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def write(self, name: str, value: Any) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(asdict(value)))
