"""Entry point of the CV180x plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvi.hookspecs import hookimpl

if TYPE_CHECKING:
    from cvi.hookspecs import Chip


@hookimpl
def cvi_register_chips() -> Sequence[Chip]:
    """The CV180x; its tables are imported here, its code generator when it compiles."""
    from cvi_chip_cv180x.spec import CV180X
    from cvi_tpu.family import make_chip

    return [make_chip(CV180X)]
