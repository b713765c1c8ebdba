"""The network's inputs: their shapes, and how layers hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cvi.errors import InputError
from cvi.importing.constants import check_elements
from cvi.ir import Shape
from cvi_frontend_tflite.schema import Model, Tensor
from cvi_frontend_tflite.values import IMAGE, Order, in_order

_ALIASES = ("QUANTIZE", "DEQUANTIZE", "CAST")
_TO_IMAGE = (0, 2, 3, 1)


def input_order(model: Model, tensor: int, constants: Mapping[int, Sequence[int]]) -> Order:
    """How the layer of an input holds it: 4 dimensions are an image [n, h, w, c], unless
    the network itself turns it from [n, c, h, w] first (it was made from another framework).

    constants: content of the integer tensors that are known.
    """
    rank = len(model.tensors[tensor].shape)
    if rank != 4:
        return in_order(rank)
    readers = [op for op in model.operators if tensor in op.inputs]
    for _ in _ALIASES:
        if len(readers) == 1 and readers[0].name in _ALIASES and readers[0].outputs:
            tensor = readers[0].outputs[0]
            readers = [op for op in model.operators if tensor in op.inputs]
    turned = [
        op.name == "TRANSPOSE"
        and len(op.inputs) > 1
        and tuple(constants.get(op.inputs[1], ())) == _TO_IMAGE
        for op in readers
    ]
    return in_order(4) if turned and all(turned) else IMAGE


def fixed_shapes(
    model: Model,
    orders: Mapping[int, Order],
    *,
    batch: int | None,
    given: Mapping[str, Sequence[int]],
) -> tuple[dict[int, Shape], tuple[int, int] | None]:
    """TFLite's shape of every input, and (the model's own batch size, the one asked for)
    when they differ.

    given: shapes as the layers have them ([n, c, h, w] for images) by input name.
    """
    names = {model.input_name(t): t for t in model.inputs}
    _check_names(given, names)
    shapes: dict[int, Shape] = {}
    changed: tuple[int, int] | None = None
    for name, index in names.items():
        tensor = model.tensors[index]
        shape = _given(tensor, orders[index], given[name]) if name in given else _own(tensor, batch)
        _check_shape(shape, name)
        if shape and tensor.shape and shape[0] != tensor.shape[0]:
            changed = (tensor.shape[0], shape[0])
        shapes[index] = shape
    return shapes, changed


def _check_names(given: Mapping[str, Sequence[int]], names: Mapping[str, int]) -> None:
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InputError(
            f"the model has no input {unknown[0]!r}; it has {', '.join(names)}",
            where="--input-shape",
            fix="`cvi inspect MODEL` shows the inputs",
        )


def _check_shape(shape: Shape, name: str) -> None:
    check_elements(shape, f"the input {name!r}")
    if min(shape, default=1) < 1:
        raise InputError(
            f"the input {name!r} has a dimension of size 0",
            where="--input-shape",
            fix="give its sizes, images as --input-shape NAME=N,C,H,W",
        )


def _given(tensor: Tensor, order: Order, sizes: Sequence[int]) -> Shape:
    if len(sizes) != len(tensor.shape):
        raise InputError(
            f"{tensor.name!r} has {len(tensor.shape)} dimensions, not {len(sizes)}",
            where="--input-shape",
            fix="give all sizes, images as N,C,H,W",
        )
    return tuple(sizes[order.index(i)] for i in range(len(sizes)))


def _own(tensor: Tensor, batch: int | None) -> Shape:
    free = [i for i, size in enumerate(tensor.signature) if size < 0 and i > 0]
    if free:
        raise InputError(
            f"the sizes of the input {tensor.name!r} are free: {tensor.signature}",
            where="--input-shape",
            fix="give them, images as --input-shape NAME=N,C,H,W",
        )
    shape = tensor.shape
    return shape if batch is None or not shape else (batch, *shape[1:])
