"""Random networks against the interpreter: no order of dimensions is ever mistaken."""

from __future__ import annotations

import pytest
from tflite_compare import Agree
from tflite_random import random_network

GROUPS, EACH = 8, 25


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_networks_agree_with_the_interpreter(agree: Agree, group: int) -> None:
    for seed in range(group * EACH, (group + 1) * EACH):
        agree(random_network(seed), tolerance=1e-4)
