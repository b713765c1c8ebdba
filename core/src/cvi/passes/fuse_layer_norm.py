"""Layer normalisation that exporters write as arithmetic."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Add, Div, LayerNorm, Mul, Permute, Reciprocal, Reduce, Sqrt, Sub
from cvi.passes.base import RewritePass
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
        pairs = [(op.inputs[0], _under_root(op.inputs[1], edit))]
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
        deviation = edit.producer(mean[0])
        same = deviation is not None and _same_deviation(centred, deviation, mean[1], edit)
        if same and deviation is not None:
            return _layer_norm(op, deviation.inputs[0], mean[1], shifted[1], edit)
    return None


def _under_root(name: str, edit: Edit) -> str:
    """v of sqrt(v), "" when it is something else."""
    op = edit.producer(name)
    return op.inputs[0] if isinstance(op, Sqrt) or is_power(op, 0.5) else ""


def _under_inverse_root(name: str, edit: Edit) -> str:
    """v of 1 / sqrt(v)."""
    op = edit.producer(name)
    if is_power(op, -0.5):
        return op.inputs[0]
    return _under_root(op.inputs[0], edit) if isinstance(op, Reciprocal) else ""


def _mean_of_square(name: str, edit: Edit) -> tuple[str, tuple[int, ...]] | None:
    """d and the axes of mean(d^2)."""
    mean = edit.producer(name)
    if not isinstance(mean, Reduce) or mean.method != "mean" or not mean.keepdims:
        return None
    square = edit.producer(mean.inputs[0])
    if is_power(square, 2):
        return square.inputs[0], mean.axes
    product = isinstance(square, Mul) and not square.relu and len(square.inputs) == 2
    if product and square is not None and square.inputs[0] == square.inputs[1]:
        return square.inputs[0], mean.axes
    return None


def _same_deviation(name: str, deviation: Op, axes: tuple[int, ...], edit: Edit) -> bool:
    """Both are x minus its mean over the axes (some exporters compute it twice)."""
    other = edit.producer(name)
    for op in (deviation, other):
        if not isinstance(op, Sub) or op.relu:
            return False
        mean = edit.producer(op.inputs[1])
        plain = isinstance(mean, Reduce) and mean.method == "mean" and mean.keepdims
        if not plain or not isinstance(mean, Reduce) or mean.axes != axes:
            return False
        if mean.inputs != (deviation.inputs[0],) or op.inputs[0] != deviation.inputs[0]:
            return False
    return True


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
