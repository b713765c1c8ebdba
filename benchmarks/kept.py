"""Measurements that take long, each made once: a folder keeps them as files."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from cvi.files import atomic_write_bytes


class KeptFolder:
    """Finished measurements (plain data or dataclasses of it) as JSON files of a folder, so
    that a benchmark that was stopped goes on where it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> Any:
        """The measurement as plain data, None when there is none yet."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def write(self, name: str, value: Any) -> None:
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        text = json.dumps(plain, indent=1)
        atomic_write_bytes(self.folder / f"{name}.json", text.encode())
