"""Old descriptions in today's form: `layers`, and inputs outside of layers."""

from __future__ import annotations

from typing import Any

from cvi.errors import ModelError, UnsupportedError
from cvi.ir import Shape
from cvi_frontend_caffe import schema

_SPELT = {
    "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "DUMMY_DATA": "DummyData",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "IM2COL": "Im2col", "LRN": "LRN",
    "MVN": "MVN", "RELU": "ReLU", "SOFTMAX_LOSS": "SoftmaxWithLoss", "TANH": "TanH", "NONE": "",
}  # fmt: skip
"""Old type -> today's, where it is not the words with capital letters."""

_OLD_ONLY = ("type", "param", "blob_share_mode", "blobs_lr", "weight_decay", "layer")


def upgraded(old: Any) -> Any:
    """A `LayerParameter` that means what a `V1LayerParameter` does."""
    if old.HasField("layer"):
        raise UnsupportedError(
            "is written in Caffe's first format of 2013 (`layers { layer { … } }`)",
            where=f"layer {str(old.layer.name)!r}",
            fix="convert it with upgrade_net_proto_text of any later Caffe",
        )
    new = schema.message("LayerParameter")
    new.type = new_type(_enumerator(old))
    for known, value in old.ListFields():
        if known.name not in _OLD_ONLY:
            _copy(new, known.name, value)
    return new


def _enumerator(old: Any) -> str:
    return str(old.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[old.type].name)


def new_type(old: str) -> str:
    """Today's name of an old layer type, e.g. `INNER_PRODUCT` -> `InnerProduct`."""
    return _SPELT.get(old) or "".join(w.capitalize() for w in old.split("_")) * (old != "NONE")


def _copy(into: Any, name: str, value: Any) -> None:
    known = into.DESCRIPTOR.fields_by_name[name]
    if schema.is_repeated(known):
        getattr(into, name).extend(value)
    elif known.message_type is not None:
        getattr(into, name).CopyFrom(value)
    else:
        setattr(into, name, value)


def network_inputs(proto: Any) -> dict[str, Shape]:
    """Inputs declared by `input` with `input_shape` or `input_dim`; a lone `input_shape`
    counts for all. An empty shape where none is given."""
    names = list(map(str, proto.input))
    shapes = [tuple(int(d) for d in shape.dim) for shape in proto.input_shape]
    dims = [int(d) for d in proto.input_dim]
    if len(set(names)) != len(names):
        raise ModelError("declares an input twice", where=", ".join(names))
    if dims and not shapes:
        each = 4 if len(dims) % 4 == 0 else len(dims)
        shapes = [tuple(dims[i : i + each]) for i in range(0, len(dims), each)]
    if len(shapes) == 1:
        shapes *= len(names)
    if names and shapes and len(shapes) != len(names):
        raise ModelError(
            f"declares {len(names)} inputs but {len(shapes)} input shapes",
            where=", ".join(names),
            fix="give every input one input_shape",
        )
    return dict(zip(names, shapes or [()] * len(names), strict=True))
