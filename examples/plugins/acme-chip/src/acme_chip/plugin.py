"""What this distribution adds to cvi."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvi.hookspecs import hookimpl

if TYPE_CHECKING:
    from cvi.hookspecs import Chip


@hookimpl
def cvi_register_chips() -> Sequence[Chip]:
    from acme_chip.spec import ACME1
    from cvi_tpu.family import make_chip

    return [make_chip(ACME1)]
