"""CPU seconds of one inference: our simulator beside the vendor's, on the same file.

    python -m benchmarks.simulator_speed (ours|vendor) FILE.cvimodel

prints the least CPU seconds (all threads) of some inferences with the model loaded. Each
simulator has a process of its own; the vendor's can crash when its process ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

REPEATS = 3
REPOSITORY = Path(__file__).resolve().parents[1]


def measure(simulator: str, file: Path) -> float:
    """CPU seconds of one inference, best of `REPEATS`, in a child process."""
    command = [sys.executable, "-m", "benchmarks.simulator_speed", simulator, str(file)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1800, cwd=REPOSITORY, check=True
    )
    return float(done.stdout.splitlines()[-1].removeprefix("seconds "))


def ours(file: Path) -> Callable[[], object]:
    """One inference on our simulator; commands are decoded at the first."""
    from cvi_tpu.model import read_file
    from cvi_tpu.runtime import Runtime

    runtime = Runtime(read_file(file))
    program = runtime.program(0)
    tensors = [program.tensor(name) for name in program.inputs]
    rng = np.random.default_rng(0)
    inputs = {
        t.name: rng.integers(-128, 128, t.shape).astype(t.dtype.numpy, copy=False) for t in tensors
    }
    return lambda: runtime.run(inputs)


def vendor(file: Path) -> Callable[[], object]:
    """One inference on the vendor's simulator."""
    from cvi_runner_vendor.capi import VendorModel
    from cvi_runner_vendor.libraries import find

    model = VendorModel(find(), str(file), 0, False)
    rng = np.random.default_rng(0)
    inputs = {
        str(t["name"]): rng.integers(-128, 128, t["bytes"]).astype(np.int8)
        for t in model.describe()["inputs"]
    }
    return lambda: model.run(inputs)


def best(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(REPEATS):
        before = time.process_time()
        run()
        seconds.append(time.process_time() - before)
    return min(seconds)


if __name__ == "__main__":
    chosen = {"ours": ours, "vendor": vendor}[sys.argv[1]]
    print(f"\nseconds {best(chosen(Path(sys.argv[2]))):.6f}", flush=True)
    os._exit(0)
