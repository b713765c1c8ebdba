"""Whole networks: converted, run by our simulator and the vendor's, in many interleavings."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.verify import verify
from benchmarks.zoo import ZOO, Origin, ZooModel

from vendor_here import VENDOR


def _cases() -> list[object]:
    marks = [pytest.mark.slow, pytest.mark.vendor]
    return [
        pytest.param(m, id=m.name, marks=[] if m.origin is Origin.EXAMPLE else marks) for m in ZOO
    ]


@pytest.mark.parametrize("model", _cases())
def test_model_is_computed_to_the_byte(model: ZooModel, tmp_path: Path) -> None:
    if not model.present and model.origin is not Origin.EXAMPLE:
        pytest.skip(f"{model.file} is not here")
    found = verify(model, tmp_path, vendor=VENDOR)
    assert not found.problems, "\n".join(found.problems)
    assert found.orders == 3 + model.random_orders
    assert found.reordered.bytes > 0
    if found.vendor is not None:
        assert found.vendor.bytes >= 2 * found.reordered.bytes / found.orders
