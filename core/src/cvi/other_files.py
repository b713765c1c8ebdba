"""Files that no frontend reads, recognised so that the error can say what to do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cvi.errors import ModelError

HEAD = 4096
"""Bytes that are looked at."""

_TORCH_EXPORT = """export it to ONNX in Python, with its class at hand:
    model.load_state_dict(torch.load({name!r}, weights_only=True)); model.eval()
    torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "model.onnx")"""

_TF_EXPORT = """`pip install "cvi-frontend-tflite[tensorflow]"` reads *.keras and *.h5;
    or convert it with `pip install tf2onnx; python -m tf2onnx.convert`, or to TFLite"""


@dataclass(frozen=True)
class Kind:
    """A kind of file. fix: may contain {name}, the file's name."""

    matches: Callable[[Path, bytes], bool]
    why: str
    fix: str


def _starts(*heads: bytes) -> Callable[[Path, bytes], bool]:
    return lambda path, head: head.startswith(heads)


def _named(*suffixes: str) -> Callable[[Path, bytes], bool]:
    return lambda path, head: path.suffix.lower() in suffixes


def _zip_with(*parts: bytes) -> Callable[[Path, bytes], bool]:
    return lambda path, head: head.startswith(b"PK") and any(part in head for part in parts)


def _pickle(path: Path, head: bytes) -> bool:
    """Protocol 2 and newer start so; PyTorch's old files are pickles one behind the other."""
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def _safetensors(path: Path, head: bytes) -> bool:
    return head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < path.stat().st_size


_BY_CONTENT = (
    Kind(
        _zip_with(b"/data.pkl", b"/constants.pkl", b"/byteorder", b"/.format_version"),
        "is a PyTorch file (a checkpoint or TorchScript); pickles are never loaded",
        _TORCH_EXPORT,
    ),
    Kind(
        _pickle, "is a pickle, most likely a PyTorch checkpoint; pickles are never loaded",
        _TORCH_EXPORT,
    ),
    Kind(_zip_with(b"config.json", b"model.weights.h5"), "is a Keras model", _TF_EXPORT),
    Kind(_starts(b"\x89HDF"), "is an HDF5 file, most likely a Keras model", _TF_EXPORT),
    Kind(_starts(b"ftrt", b"ptrt"), "is a TensorRT engine: compiled for one GPU, no network",
            "convert the ONNX model that it was built from"),
    Kind(_starts(b"CviModel"), "is a compiled cvimodel already",
            "`cvi model dump` shows it, `cvi run` runs it"),
    Kind(_starts(b"PK"), "is a zip archive",
            "unpack it, or export the model from its framework"),
)  # fmt: skip

_ELSE = (
    Kind(_named(".engine", ".trt", ".plan"), "is named like a TensorRT engine",
            "convert the ONNX model that it was built from"),
    Kind(_named(".caffemodel"), "holds the weights of a Caffe model, not its layers",
            "give the .prototxt as the model and this file with --weights"),
    Kind(_named(".pb"), "is named like a frozen graph of TensorFlow", _TF_EXPORT),
    Kind(_safetensors, "holds only weights (safetensors), no network",
            "export the model from its framework to ONNX"),
    Kind(_starts(b"7767517\n"), "is a network of ncnn", "convert the ONNX model it came from"),
)  # fmt: skip
"""Signs that a model which a frontend reads could have too."""


def other_content(path: Path, head: bytes) -> ModelError | None:
    """What the first bytes of a file say it is, when that is no model that any frontend reads."""
    return _described(path, head, _BY_CONTENT)


def unread(path: Path, head: bytes) -> ModelError | None:
    """What a file is that no installed frontend accepts; None when we do not know either."""
    return _described(path, head, _ELSE)


def _described(path: Path, head: bytes, kinds: Sequence[Kind]) -> ModelError | None:
    for kind in kinds:
        if kind.matches(path, head):
            fix = kind.fix.replace("{name!r}", repr(path.name))
            return ModelError(kind.why, where=str(path), fix=fix)
    return None
