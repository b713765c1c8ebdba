"""The page of supported ops speaks of every op, and is up to date."""

from __future__ import annotations

from benchmarks.op_samples import SAMPLES
from benchmarks.supported_ops import PAGE, page

from cvi import ops

BASES = {"Detection", "Eltwise", "Movement", "Recurrent", "Unary"}


def test_every_float_op_has_a_sample() -> None:
    lacking = set(ops.__all__) - BASES - {sample.op.kind for sample in SAMPLES}
    assert not lacking, f"add samples to benchmarks/op_samples.py for {sorted(lacking)}"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run python -m benchmarks.supported_ops"
