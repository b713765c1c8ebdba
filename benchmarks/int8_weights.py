"""What int8 weights of BF16 layers save and cost: file size, estimated cycles, similarity.

    python -m benchmarks.int8_weights

On CV183x, with the similarity of the outputs to FP32 on one image.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.zoo import ZooModel, model

import cvi
from cvi import plugins
from cvi.compare import compare_tensors
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs, real_values
from cvi.hookspecs import Estimates
from cvi.preprocess.dataset import samples

CHIP = "cv183x"
NETWORKS = ("mnist", "torch_mobilenet_v2", "pfld")
SCHEMES = ("bf16", "mix_bf16")


def row(one: ZooModel, quant: str, target: Path) -> str:
    """A line of the table in docs/quantisation.md."""
    made = cvi.convert(
        one.file, target, chip=CHIP, quant=quant, image_options=one.pixels,
        images=(one.image,), verify=False,
    )  # fmt: skip
    image = next(samples(made.graph, [(one.image,)]))
    want = evaluate(made.graph, image)
    values = evaluate(made.quantised, quantised_inputs(made.quantised, image), exact=False)
    real = real_values(made.quantised, values)
    pairs = zip(made.quantised.outputs, want.values(), strict=True)
    cosine = min(compare_tensors(real[name], array).cosine for name, array in pairs)
    chip = plugins.chip(CHIP)
    assert isinstance(chip, Estimates)
    cycles = chip.estimate(made.quantised)
    size = target.stat().st_size
    return f"| {one.name} | {quant} | {size / 1024:,.0f} KiB | {cycles:,.0f} | {cosine:.5f} |"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            for quant in SCHEMES:
                print(row(model(name), quant, Path(folder) / f"{quant}.cvimodel"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
