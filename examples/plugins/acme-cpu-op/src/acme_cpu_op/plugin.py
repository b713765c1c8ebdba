"""What this distribution adds to cvi; the work is imported inside the hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cvi.hookspecs import hookimpl

if TYPE_CHECKING:
    from cvi.ir import Op


@hookimpl
def cvi_register_ops() -> Sequence[type[Op]]:
    from acme_cpu_op.unit_max import AcmeUnitMax

    return [AcmeUnitMax]


@hookimpl
def cvi_register_converters(frontend: str) -> Mapping[str, Any]:
    if frontend != "onnx":
        return {}
    from acme_cpu_op.onnx import unit_max

    return {"acme.UnitMax": unit_max}


@hookimpl
def cvi_register_quantizers(scheme: str) -> Mapping[type[Op], Any]:
    if scheme != "int8":
        return {}
    from acme_cpu_op.on_cpu import keep_float
    from acme_cpu_op.unit_max import AcmeUnitMax

    return {AcmeUnitMax: keep_float}


@hookimpl
def cvi_register_kernels(family: str) -> Mapping[type[Op] | str, Any]:
    if family != "cv18xx":
        return {}
    from acme_cpu_op.on_cpu import KERNEL, run_unit_max
    from acme_cpu_op.unit_max import AcmeUnitMax

    return {AcmeUnitMax: KERNEL, "acme_unit_max": run_unit_max}
