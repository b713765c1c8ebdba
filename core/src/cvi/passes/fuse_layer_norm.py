"""Layer normalisation that exporters write as arithmetic."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Add, Div, LayerNorm, Mul, Permute, Reciprocal, Reduce
from cvi.passes.base import RewritePass
from cvi.passes.deviations import less_mean, under_root, under_square
from cvi.passes.edit import Edit, Replacement
from cvi.passes.operands import is_power, is_sum, plus_number


class FuseLayerNorm(RewritePass):
    """Arithmetic that normalises becomes LayerNorm:

    1. (x - mean) / sqrt(mean((x - mean)^2) + eps), with means over the same dimensions; when
       these are not the last ones, between two Permutes. The square may be a Pow or a
       product, the division a product with a Reciprocal or a Pow of -0.5;
    2. a factor of the normalised shape behind a LayerNorm without any is its gamma, a
       summand its beta.
    """

    name = "fuse-layer-norm"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not is_sum(op) and not isinstance(op, (Div, Mul)):
            return None
        if len(op.inputs) != 2 or op.relu:
            return None
        return _normalised(op, edit) or _with_parameter(op, edit)


def _normalised(op: Op, edit: Edit) -> Replacement:
    """Rule 1."""
    if isinstance(op, Div):
        pairs = [(op.inputs[0], under_root(edit.producer(op.inputs[1])))]
    elif isinstance(op, Mul):
        turned = op.inputs[::-1]
        pairs = [(a, _under_inverse_root(b, edit)) for a, b in (op.inputs, turned)]
    else:
        return None
    for centred, variance in pairs:
        shifted = plus_number(edit.producer(variance), edit) if variance else None
        mean = _mean_of_square(shifted[0], edit) if shifted else None
        if shifted is None or mean is None:
            continue
        # some exporters compute the deviation twice
        x, other = (less_mean(edit.producer(n), mean[1], edit) for n in (mean[0], centred))
        if x and x == other:
            return _layer_norm(op, x, mean[1], shifted[1], edit)
    return None


def _under_inverse_root(name: str, edit: Edit) -> str:
    """v of 1 / sqrt(v)."""
    op = edit.producer(name)
    if is_power(op, -0.5):
        return op.inputs[0]
    return under_root(edit.producer(op.inputs[0])) if isinstance(op, Reciprocal) else ""


def _mean_of_square(name: str, edit: Edit) -> tuple[str, tuple[int, ...]] | None:
    """d and the axes of mean(d^2)."""
    mean = edit.producer(name)
    if not isinstance(mean, Reduce) or mean.method != "mean" or not mean.keepdims:
        return None
    deviation = under_square(edit.producer(mean.inputs[0]))
    return (deviation, mean.axes) if deviation else None


def _layer_norm(op: Op, x: str, axes: tuple[int, ...], eps: float, edit: Edit) -> Replacement:
    """The LayerNorm that stands for the division."""
    rank = len(op.type.shape)
    if not axes or not eps > 0:
        return None
    axis = rank - len(axes)
    if axes == tuple(range(axis, rank)):
        return LayerNorm(name=op.name, inputs=(x,), source=op.source, axis=axis, eps=eps)
    order = (*(i for i in range(rank) if i not in axes), *axes)
    last = Permute(name=edit.fresh(f"{op.name}_last"), inputs=(x,), order=order)
    norm = edit.fresh(f"{op.name}_norm")
    back = tuple(order.index(i) for i in range(rank))
    return [
        last,
        LayerNorm(name=norm, inputs=(last.name,), axis=axis, eps=eps),
        Permute(name=op.name, inputs=(norm,), order=back, source=op.source),
    ]


def _with_parameter(op: Op, edit: Edit) -> Replacement:
    """Rule 2."""
    for name, other in (op.inputs, op.inputs[::-1]):
        norm, values = edit.single(name), edit.constant(other)
        if not isinstance(norm, LayerNorm) or values is None or norm.type != op.type:
            continue
        gamma, beta = (*norm.inputs[1:], "", "")[:2]
        taken = beta if isinstance(op, Add) else gamma or beta
        if taken or isinstance(op, Div) or values.shape != norm.type.shape[norm.axis :]:
            continue
        operands = (gamma, other) if isinstance(op, Add) else (other, "")
        return norm.with_(name=op.name, source=op.source, inputs=(norm.inputs[0], *operands))
    return None
