"""The child process: loads one model, then answers one line per run.

Started as `python -m cvi_runner_vendor.child FOLDER READ_FD WRITE_FD`; FOLDER holds
job.json, and per run in.npz and out.npz. stdout and stderr are the vendor's log.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cvi_runner_vendor.capi import VendorError, VendorModel


def serve(folder: Path, asks: int, answers: int) -> None:
    """Answer until the parent closes its end."""

    def say(**answer: Any) -> None:
        os.write(answers, json.dumps(answer).encode() + b"\n")

    job = json.loads((folder / "job.json").read_text())
    try:
        model = VendorModel(Path(job["library"]), job["model"], job["program"], job["all_tensors"])
        say(ok=True, **model.describe())
    except (VendorError, OSError) as error:
        say(ok=False, why=str(error))
        return
    with os.fdopen(asks, "rb") as lines:
        for _ in lines:
            try:
                with np.load(folder / "in.npz", allow_pickle=False) as archive:
                    inputs = {name: archive[name] for name in archive.files}
                outputs: dict[str, Any] = model.run(inputs)
                np.savez(folder / "out.npz", **outputs)
                say(ok=True)
            except VendorError as error:
                say(ok=False, why=str(error))


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)  # the vendor's static destructors crash
