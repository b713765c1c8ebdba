"""The real classifiers, from small to large, and what they are fed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.zoo import SHARED

from cvi.flow.images import ImageOptions

MODELS = SHARED / "models"


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained network that reads images and gives a score for each class.

    file, weights: below `shared/models`. labelled: whether its classes are those of the
    labelled images; else only the difference to FP32 is measured.
    """

    name: str
    file: str
    pixels: ImageOptions
    weights: str = ""
    labelled: bool = False

    @property
    def model(self) -> Path:
        return MODELS / self.file

    @property
    def weight_file(self) -> Path | None:
        return MODELS / self.weights if self.weights else None

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return self.name.replace(" ", "_").replace("(", "").replace(")", "")


_MINUS_ONE = ImageOptions(preset="tf-minus1-1")
_ZERO_ONE = ImageOptions(preset="zero-one")
_PIXELS = ImageOptions(preset="zero-255")
_SIGNED = ImageOptions(mean=(127.0,), std=(127.5,), channel_order="rgb")
_GRAY = ImageOptions(mean=(127.0,), std=(127.5,), gray=True)
_DIGITS = ImageOptions(gray=True, raw_scale=1.0)
_CAFFENET = ImageOptions(mean=(104.0, 117.0, 123.0), channel_order="bgr")
_CIFAR10_MEAN = ImageOptions(mean=(125.31, 122.95, 113.87), channel_order="rgb")
"""Channel means of the image that the network's own file subtracts."""


def _tflite(name: str, file: str, pixels: ImageOptions, labelled: bool = False) -> Classifier:
    return Classifier(
        name=f"{name} (TFLite)", file=f"tflite/{file}.tflite", pixels=pixels, labelled=labelled
    )


def _onnx(name: str, file: str, pixels: ImageOptions, labelled: bool = False) -> Classifier:
    return Classifier(
        name=f"{name} (ONNX)", file=f"onnx/{file}.onnx", pixels=pixels, labelled=labelled
    )


def _caffe(
    name: str, file: str, weights: str, pixels: ImageOptions, labelled: bool = False
) -> Classifier:
    return Classifier(
        name=f"{name} (Caffe)",
        file=f"caffe/{file}.prototxt",
        weights=f"caffe/{weights}.caffemodel",
        pixels=pixels,
        labelled=labelled,
    )


_V1 = "mobilenet_v1_0.25_128"
_V2 = "mobilenet_v2_1.0_224"

CLASSIFIERS: tuple[Classifier, ...] = (
    _caffe("lenet", "lenet/lenet", "lenet/lenet_iter_10000", _DIGITS),
    _onnx("mnist", "mnist/mnist", _DIGITS),
    _caffe(
        "cifar10_quick",
        "cifar10_quick/cifar10_quick",
        "cifar10_quick/cifar10_quick_iter_5000",
        _CIFAR10_MEAN,
    ),
    _tflite("cifar_resnet float", "cifar_resnet/pretrainedResnet", _PIXELS),
    _tflite("cifar_resnet int8", "cifar_resnet/pretrainedResnet_quant", _PIXELS),
    _onnx("resnet20_cifar10", "resnet20_cifar10/resnet20_cifar10", _ZERO_ONE),
    _tflite("vww_96 float", "vww_96/vww_96_float", _ZERO_ONE),
    _tflite("vww_96 int8", "vww_96/vww_96_int8", _ZERO_ONE),
    _tflite("person_detect int8", "person_detect/person_detect", _GRAY),
    _onnx(_V1, f"{_V1}/{_V1}_quant_float", _MINUS_ONE, True),
    _caffe(_V1, f"{_V1}/{_V1}", f"{_V1}/{_V1}", _MINUS_ONE, True),
    _tflite(f"{_V1} uint8", f"{_V1}_quant/{_V1}_quant", _MINUS_ONE, True),
    _caffe(
        "squeezenet_v1.1",
        "squeezenet_v1.1/deploy",
        "squeezenet_v1.1/squeezenet_v1.1",
        _CAFFENET,
        True,
    ),
    _onnx("resnet56_cifar10", "resnet56_cifar10/resnet56_cifar10", _ZERO_ONE),
    _onnx(
        "mobilenet_v2",
        "torch_mobilenet_v2/torch_mobilenet_v2_float",
        ImageOptions(preset="imagenet-torch"),
        True,
    ),
    _tflite(f"{_V2} uint8", f"{_V2}_quant/{_V2}_quant", _MINUS_ONE, True),
    _tflite("tf2_mobilenet_v2 int8", f"tf2_mobilenet_v2_ptq/tf2_{_V2}_ptq", _SIGNED, True),
)


def classifiers(beginnings: Sequence[str]) -> tuple[Classifier, ...]:
    """Those whose names begin with one of these; all when none is given."""
    if not beginnings:
        return CLASSIFIERS
    return tuple(entry for entry in CLASSIFIERS if entry.name.startswith(tuple(beginnings)))
