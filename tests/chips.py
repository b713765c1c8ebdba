"""The chips of the family, for tests that hold on each of them."""

from __future__ import annotations

import pytest

from cvi_chip_cv180x.spec import CV180X
from cvi_chip_cv181x.spec import CV181X
from cvi_chip_cv182x.spec import CV182X
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec

LATER: list[ChipSpec] = [CV182X, CV181X, CV180X]
"""Chips with the descriptor of the CV182x."""

CHIPS: list[ChipSpec] = [CV183X, *LATER]

BY_NAME = {spec.name: spec for spec in CHIPS}

each_chip = pytest.mark.parametrize("spec", CHIPS, ids=lambda spec: spec.name)
