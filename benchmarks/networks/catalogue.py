"""The networks of the guide's two lists, and all other networks of the shared folder.

The guide's networks come as Caffe files without weights, whose weights are drawn, or from
definitions in this package; three of them are there with trained weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.networks import bottlenecks, efficientnet_lite, faces, keras_networks
from benchmarks.zoo import EXAMPLE_IMAGES, LOOSE, SHARED, ZOO, Origin, ZooModel

from cvi.flow.images import ImageOptions

Shapes = Mapping[str, tuple[int, ...]]

SEED = 1
LEAST = 0.9999
_SAMPLES = SHARED / "images" / "samples"
_CAT, _DOG, _PARADE = (_SAMPLES / f"{name}.jpg" for name in ("cat", "dog", "parade"))
_DIGIT = EXAMPLE_IMAGES / "digit_0001.png"


@dataclass(frozen=True)
class Published:
    """Figures of the authors or of a well-known collection: millions of parameters and of
    multiply-accumulates, those of RetinaFace scaled from 640x640 to 600x600."""

    parameters: float
    macs: float


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of the page.

    simulated: the sizes of inputs with which it runs on the vendor's simulator, empty for its
    own: large images take hours there, and the layers are the same. least: the cosine that
    every comparable layer must have with the framework's. compiled: whether programs are made;
    networks without may also be refused.
    """

    model: ZooModel
    source: str
    published: Published | None = None
    simulated: Shapes = field(default_factory=dict)
    least: float = LEAST
    compiled: bool = True

    @property
    def name(self) -> str:
        return self.model.name


_UNIT = ImageOptions(preset="imagenet-torch")
"""What suits random weights: numbers of about unit size."""

_GRAY = ImageOptions(gray=True, raw_scale=1.0)
_ZERO_ONE = ImageOptions(preset="zero-one")
_MINUS_ONE = ImageOptions(preset="tf-minus1-1")
_PIXELS = ImageOptions(preset="none")
_ULTRAFACE = ImageOptions(channel_order="rgb", mean=(127.0,), std=(128.0,))


def _model(
    name: str,
    origin: Origin,
    file: Path,
    pixels: ImageOptions,
    image: Path = _CAT,
    *,
    weights: Path | None = None,
    seed: int | None = None,
    make: Callable[[Path], None] | None = None,
    shapes: Shapes | None = None,
) -> ZooModel:
    return ZooModel(
        name=name,
        origin=origin,
        file=file,
        weights=weights,
        random_weights=seed,
        make=make,
        pixels=pixels,
        image=image,
        dataset=image.parent,
        method="max",
        input_shapes=shapes or {},
        quant_tolerance=LOOSE,
        least_cosine=-1.0,
    )


# -- the guide's networks ---------------------------------------------------------------


def _size(height: int, width: int, channels: int = 3) -> dict[str, tuple[int, ...]]:
    """The shape of the input that Caffe's networks usually have."""
    return {"data": (1, channels, height, width)}


def _drawn(
    name: str,
    file: str = "",
    shapes: Shapes | None = None,
    *,
    pixels: ImageOptions = _UNIT,
    simulated: Shapes | None = None,
) -> Network:
    """A Caffe file of the shared folder with random weights."""
    path = SHARED / "prototxt" / f"{file or name}.prototxt"
    model = _model(name, Origin.RANDOM, path, pixels, seed=SEED, shapes=shapes)
    return Network(model=model, source=path.name, simulated=simulated or {})


def _own(
    name: str,
    make: Callable[[Path], None],
    suffix: str,
    published: Published,
    *,
    pixels: ImageOptions = _UNIT,
    simulated: Shapes | None = None,
) -> Network:
    """A definition of this package. Those in ONNX and Keras bring their weights."""
    seed = SEED if suffix == ".prototxt" else None
    file = Path(f"{make.__name__}{suffix}")
    model = _model(name, Origin.RANDOM, file, pixels, seed=seed, make=make)
    source = f"{make.__module__.rpartition('.')[2]}.py"
    return Network(model=model, source=source, published=published, simulated=simulated or {})


def _caffe(
    name: str,
    stem: str,
    pixels: ImageOptions,
    image: Path = _CAT,
    *,
    weights: str = "",
    shapes: Shapes | None = None,
    simulated: Shapes | None = None,
) -> Network:
    """A trained Caffe model; stem: folder and file without suffix."""
    path = SHARED / "models" / "caffe" / f"{stem}.prototxt"
    numbers = path.parent / f"{weights or path.stem}.caffemodel"
    model = _model(name, Origin.TRAINED, path, pixels, image, weights=numbers, shapes=shapes)
    return Network(model=model, source=f"{stem}.prototxt", simulated=simulated or {})


def _yolo_v3_tiny(path: Path) -> None:
    """The shared file with the flag of the vendor's Caffe that Darknet's pool of stride 1
    needs: it keeps the size, and without it the routes do not fit."""
    text = (SHARED / "prototxt" / "yolo_v3_tiny.prototxt").read_text()
    pool = "pooling_param {\n        stride: 1\n"
    assert text.count(pool) == 1
    path.write_text(text.replace(pool, f"{pool}        yolo: true\n"))


GUIDE: tuple[Network, ...] = (
    _drawn("resnet50"),
    _drawn("resnext50"),
    _drawn("vgg16", "vgg16_vgg"),
    _drawn("googlenet"),
    _drawn("inception_v3", simulated=_size(139, 139)),
    _drawn("inception_v4", simulated=_size(139, 139)),
    _drawn("mobilenet_v1"),
    _drawn("mobilenet_v2"),
    _own(
        "nasnet_mobile",
        keras_networks.nasnet_mobile,
        ".keras",
        Published(5.3, 564),
        pixels=_MINUS_ONE,
    ),
    _drawn("shufflenet_v2"),
    _caffe(
        "squeezenet_v1.1",
        "squeezenet_v1.1/deploy",
        ImageOptions(mean=(104.0, 117.0, 123.0)),
        weights="squeezenet_v1.1",
        shapes=_size(227, 227),
    ),
    _drawn("densenet_121", simulated=_size(128, 128)),
    _drawn("densenet_201", simulated=_size(128, 128)),
    _drawn("senet_res50", shapes=_size(225, 225)),
    _own("arcface_res50", faces.arcface_res50, ".prototxt", Published(43.6, 6330)),
    _caffe(
        "retinaface_mnet25",
        "retinaface_mnet25/mnet",
        ImageOptions(preset="zero-255"),
        _PARADE,
        shapes=_size(320, 320),
    ),
    _own(
        "retinaface_res50",
        faces.retinaface_res50,
        ".prototxt",
        Published(29.4, 44300),
        simulated=_size(128, 128),
    ),
    _drawn("ssd300"),
    _drawn("mobilenet_ssd"),
    _drawn("yolo_v1_448"),
    _drawn("yolo_v2_1080", "yolo_v2", _size(1080, 1920), simulated=_size(88, 120)),
    _drawn("yolo_v2_416", "yolo_v2", _size(416, 416), simulated=_size(96, 96)),
    _drawn("yolo_v3_608", simulated=_size(128, 128)),
    _drawn("yolo_v3_416", simulated=_size(96, 96)),
    Network(
        model=_model(
            "yolo_v3_tiny",
            Origin.RANDOM,
            Path("yolo_v3_tiny.prototxt"),
            _UNIT,
            seed=SEED,
            make=_yolo_v3_tiny,
        ),
        source="yolo_v3_tiny.prototxt",
        simulated=_size(160, 160),
    ),
    _drawn("yolo_v3_spp", simulated=_size(96, 96)),
    _drawn("yolo_v4", simulated=_size(96, 96)),
    _drawn("resnet18"),
    _own(
        "efficientnet_b0",
        keras_networks.efficientnet_b0,
        ".keras",
        Published(5.3, 390),
        pixels=ImageOptions(preset="zero-255"),
    ),
    _own(
        "efficientnet-lite_b0",
        efficientnet_lite.efficientnet_lite_b0,
        ".onnx",
        Published(4.7, 407),
    ),
    _own("alphapose", bottlenecks.alphapose, ".onnx", Published(40.5, 5910)),
    _caffe(
        "espcn_3x",
        "espcn_3x/ESPCN_mat",
        _GRAY,
        weights="espcn_iter_5303500",
        shapes=_size(85, 85, 1),
    ),
    _drawn("unet", pixels=_GRAY, simulated=_size(188, 188, 1)),
    _own(
        "ecanet50",
        bottlenecks.ecanet50,
        ".onnx",
        Published(25.56, 4140),
        simulated={"input": (1, 3, 96, 96)},
    ),
    _own(
        "res2net50",
        bottlenecks.res2net50,
        ".onnx",
        Published(25.3, 4200),
        simulated={"input": (1, 3, 96, 96)},
    ),
    _drawn("erfnet", simulated=_size(128, 256)),
)


# -- trained models ---------------------------------------------------------------------


def _tflite(file: str, pixels: ImageOptions = _MINUS_ONE, image: Path = _CAT) -> Network:
    path = SHARED / "models" / "tflite" / f"{file}.tflite"
    model = _model(path.stem, Origin.TRAINED, path, pixels, image)
    return Network(model=model, source=f"{file}.tflite")


def _onnx(model: ZooModel) -> Network:
    return Network(model=model, source=str(model.file.relative_to(SHARED / "models" / "onnx")))


TRAINED: tuple[Network, ...] = (
    _caffe(
        "cifar10_quick",
        "cifar10_quick/cifar10_quick",
        _PIXELS,
        weights="cifar10_quick_iter_5000",
    ),
    _caffe(
        "fsrcnn",
        "fsrcnn/FSRCNN_mat",
        _GRAY,
        weights="snapshot_iter_2546000",
        shapes=_size(85, 85, 1),
    ),
    _caffe(
        "lenet", "lenet/lenet", _GRAY, _DIGIT, weights="lenet_iter_10000", shapes=_size(28, 28, 1)
    ),
    _caffe("mobilefacenet", "mobilefacenet/mobilefacenet", _PIXELS, _PARADE),
    _caffe(
        "mobilenet_v1_0.25_128_caffe", "mobilenet_v1_0.25_128/mobilenet_v1_0.25_128", _MINUS_ONE
    ),
    _caffe(
        "mobilenetv2_yolov3_nano_coco",
        "mobilenetv2_yolov3_nano_coco/mobilenetv2_yolov3_nano_coco",
        _ZERO_ONE,
        _DOG,
    ),
    _caffe(
        "mobilenetv2_yolov3_nano_voc",
        "mobilenetv2_yolov3_nano_voc_upsample/MobileNetV2-YOLOv3-Nano-voc",
        _ZERO_ONE,
        _DOG,
    ),
    *(
        _caffe(f"mtcnn_{stage}", f"mtcnn/{stage}", _MINUS_ONE, _PARADE, shapes=shapes)
        for stage, shapes in (("det1", _size(96, 128)), ("det2", None), ("det3", None))
    ),
    _caffe(
        "opencv_face_ssd",
        "opencv_face_ssd/deploy",
        ImageOptions(mean=(104.0, 177.0, 123.0)),
        _PARADE,
        weights="res10_ssd_dequant",
    ),
    _caffe("ultraface_rfb320_caffe", "ultraface_rfb320/RFB-320", _ULTRAFACE, _PARADE),
    _caffe("yolo_fastest", "yolo_fastest_1.1_coco/yolo_fastest_1.1_coco", _ZERO_ONE, _DOG),
    *(_onnx(model) for model in ZOO if model.file.is_relative_to(SHARED / "models" / "onnx")),
    _tflite("cifar_resnet/pretrainedResnet", ImageOptions(preset="zero-255")),
    _tflite("cifar_resnet/pretrainedResnet_quant", ImageOptions(preset="zero-255")),
    _tflite("deeplabv3_dm05/deeplabv3_mnv2_dm05_pascal_quant"),
    _tflite("kws/kws_ref_model_float32", ImageOptions()),
    _tflite("kws/kws_ref_model", ImageOptions()),
    _tflite("mobilenet_v1_0.25_128_quant/mobilenet_v1_0.25_128_quant"),
    _tflite("mobilenet_v2_1.0_224_quant/mobilenet_v2_1.0_224_quant"),
    _tflite("person_detect/person_detect", ImageOptions(gray=True)),
    _tflite("tf2_mobilenet_v2_ptq/tf2_mobilenet_v2_1.0_224_ptq"),
    _tflite("ultraface_rfb320/version-RFB-320_without_postprocessing", _ULTRAFACE, _PARADE),
    _tflite("vww_96/vww_96_float", _ZERO_ONE),
    _tflite("vww_96/vww_96_int8", _ZERO_ONE),
)

# -- architectures ----------------------------------------------------------------------

_NO_COLOURS = ("fsrcnn", "lenet")
_NO_IMAGES = ("mobilenet_v3_small_0.75",)
"""Their inputs have the colours last."""


def _architecture(file: Path) -> Network:
    """One more Caffe file of the shared folder, with random weights."""
    pixels = _GRAY if file.stem in _NO_COLOURS else _UNIT
    pixels = ImageOptions() if file.stem in _NO_IMAGES else pixels
    model = _model(f"{file.stem}.prototxt", Origin.RANDOM, file, pixels, seed=SEED)
    return Network(model=model, source=file.name, compiled=False)


def _others() -> tuple[Network, ...]:
    """The Caffe files that the guide's networks have not been made from."""
    known = {entry.source for entry in GUIDE}
    files = sorted((SHARED / "prototxt").glob("*.prototxt"))
    return tuple(_architecture(file) for file in files if file.name not in known)


OTHERS = _others()

NETWORKS = (*GUIDE, *TRAINED, *OTHERS)


def network(name: str) -> Network:
    """The network of that name; KeyError when there is none."""
    return {entry.name: entry for entry in NETWORKS}[name]
