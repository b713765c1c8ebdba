"""Writes networks as Caffe's text files: one method per layer, no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Number = int | float | bool


@dataclass(frozen=True)
class Blob:
    """A blob under construction, and how many channels it has."""

    name: str
    channels: int


class Prototxt:
    """A network with one input, layer after layer; every layer's top has its name."""

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self._lines = [f'name: "{name}"']
        self._channels = shape[1]
        dims = " ".join(f"dim: {d}" for d in shape)
        self._layer("data", "Input", (), f"input_param {{ shape {{ {dims} }} }}")

    def data(self) -> Blob:
        """The network's input."""
        return Blob("data", self._channels)

    def conv(
        self,
        name: str,
        x: Blob,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        bias: bool = False,
    ) -> Blob:
        """A square convolution that keeps the size up to its stride."""
        window = {"kernel_size": kernel, "pad": kernel // 2, "stride": stride}
        options = {"num_output": channels, "bias_term": bias, **window}
        return self._one(name, "Convolution", x, channels, _param("convolution", options))

    def batch_norm(self, name: str, x: Blob) -> Blob:
        """Batch normalisation, and Caffe's separate layer of scale and bias."""
        options = {"use_global_stats": True, "eps": 2e-5}
        normed = self._one(name, "BatchNorm", x, x.channels, _param("batch_norm", options))
        return self._one(
            f"{name}_scale", "Scale", normed, x.channels, _param("scale", {"bias_term": True})
        )

    def relu(self, name: str, x: Blob) -> Blob:
        return self._one(name, "ReLU", x, x.channels)

    def prelu(self, name: str, x: Blob) -> Blob:
        """A slope of its own for every channel's negative numbers."""
        return self._one(name, "PReLU", x, x.channels)

    def max_pool(self, name: str, x: Blob) -> Blob:
        """The maximum of 3x3 pixels at every second place."""
        window = "pool: MAX kernel_size: 3 stride: 2 pad: 0"
        return self._one(name, "Pooling", x, x.channels, f"pooling_param {{ {window} }}")

    def add(self, name: str, a: Blob, b: Blob) -> Blob:
        self._layer(name, "Eltwise", (a, b), "eltwise_param { operation: SUM }")
        return Blob(name, a.channels)

    def concat(self, name: str, parts: Sequence[Blob]) -> Blob:
        self._layer(name, "Concat", parts, _param("concat", {"axis": 1}))
        return Blob(name, sum(part.channels for part in parts))

    def enlarged(self, name: str, x: Blob, like: Blob) -> Blob:
        """Twice as high and wide by a deconvolution of every channel by itself, then cut to
        the size of another blob."""
        options = {"num_output": x.channels, "group": x.channels, "bias_term": False}
        options |= {"kernel_size": 2, "stride": 2}
        wide = self._one(name, "Deconvolution", x, x.channels, _param("convolution", options))
        self._layer(f"{name}_crop", "Crop", (wide, like), _param("crop", {"axis": 2, "offset": 0}))
        return Blob(f"{name}_crop", x.channels)

    def softmax(self, name: str, x: Blob) -> Blob:
        """Over two channels: the rows of both halves of the channels one below the other."""
        apart = self._reshape(f"{name}_reshape", x, 2)
        shared = self._one(name, "Softmax", apart, 2, _param("softmax", {"axis": 1}))
        return self._reshape(f"{name}_joined", shared, x.channels)

    def inner_product(self, name: str, x: Blob, channels: int) -> Blob:
        options = _param("inner_product", {"num_output": channels})
        return self._one(name, "InnerProduct", x, channels, options)

    def save(self, path: Path) -> None:
        path.write_text("\n".join([*self._lines, ""]))

    def _reshape(self, name: str, x: Blob, channels: int) -> Blob:
        dims = f"dim: 1 dim: {channels} dim: -1 dim: 0"
        return self._one(name, "Reshape", x, channels, f"reshape_param {{ shape {{ {dims} }} }}")

    def _one(self, name: str, kind: str, x: Blob, channels: int, param: str = "") -> Blob:
        self._layer(name, kind, (x,), param)
        return Blob(name, channels)

    def _layer(self, name: str, kind: str, bottoms: Sequence[Blob], param: str) -> None:
        fields = [f'name: "{name}"', f'type: "{kind}"']
        fields += [f'bottom: "{bottom.name}"' for bottom in bottoms]
        self._lines.append("layer { " + " ".join([*fields, f'top: "{name}"', param]).strip() + " }")


def _param(kind: str, options: Mapping[str, Number]) -> str:
    """A layer's parameters as text."""
    fields = (
        f"{name}: {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in options.items()
    )
    return f"{kind}_param {{ {' '.join(fields)} }}"
