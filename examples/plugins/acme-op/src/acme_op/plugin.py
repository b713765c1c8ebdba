"""What this distribution adds to cvi; the work is imported inside the hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cvi.hookspecs import hookimpl

if TYPE_CHECKING:
    from cvi.ir import Op


@hookimpl
def cvi_register_ops() -> Sequence[type[Op]]:
    from acme_op.blend import AcmeBlend
    from acme_op.int8 import Int8AcmeBlend

    return [AcmeBlend, Int8AcmeBlend]


@hookimpl
def cvi_register_converters(frontend: str) -> Mapping[str, Any]:
    if frontend != "onnx":
        return {}
    from acme_op.onnx import blend

    return {"acme.Blend": blend}


@hookimpl
def cvi_register_quantizers(scheme: str) -> Mapping[type[Op], Any]:
    if scheme != "int8":
        return {}
    from acme_op.blend import AcmeBlend
    from acme_op.int8 import quantise_blend

    return {AcmeBlend: quantise_blend}


@hookimpl
def cvi_register_kernels(family: str) -> Mapping[type[Op] | str, Any]:
    if family != "cv18xx":
        return {}
    from acme_op.int8 import Int8AcmeBlend
    from acme_op.kernel import TiledBlend
    from cvi_tpu.codegen.kernels.eltwise import elementwise

    return {Int8AcmeBlend: elementwise(TiledBlend)}
