"""The networks on which the toolchain is verified, as data.

One is shipped with the examples. The others lie in the folder `shared` next to the
repository: trained models, and well-known architectures with random weights, whose
files are made from compact archives or by our own definitions when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from cvi.compare import Tolerance
from cvi.flow.images import ImageOptions
from cvi.flow.job import QUANTISED_TOLERANCE

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

EXAMPLE_IMAGES = REPOSITORY / "examples" / "digits" / "calibration"
_IMAGES = SHARED / "images"

LOOSE = Tolerance(-1.1, -1.1, -1e9)
"""For layers whose quantisation error says nothing of the toolchain; `least_cosine` of the
outputs still holds."""


class Origin(str, Enum):
    """Where a network comes from."""

    EXAMPLE = "example"
    TRAINED = "trained"
    RANDOM = "random weights"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a network as the public functions take them."""

    model: Path
    weights: Path | None = None
    random_weights: int | None = None


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """One network and how to convert it.

    file: a model file, or what it is made from: an archive of an ONNX file whose weights are
    random, or with `make` the name of the file that it writes. weights: the file of the
    weights where they have one of their own; random_weights: the seed from which a frontend
    draws them. image: the test image. dataset, images: folder of calibration images, and how
    many are drawn; method: how thresholds are found.
    quant_tolerance: least similarity of every quantised layer to its float layer (of
    random weights and few calibration images not much can be asked). least_cosine: of the
    program's worst output to the original network in fp32. random_orders: how many seeded
    random interleavings of the engines are run besides program order, TIU first and TDMA
    first. batches: those that the network can take (some models drop the batch on the way).
    """

    name: str
    origin: Origin
    file: Path
    weights: Path | None = None
    random_weights: int | None = None
    make: Callable[[Path], None] | None = None
    pixels: ImageOptions
    image: Path
    dataset: Path
    images: int = 8
    method: str = "kld"
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    quant_tolerance: Tolerance = QUANTISED_TOLERANCE
    least_cosine: float
    random_orders: int = 10
    batches: tuple[int, ...] = (1, 4)

    @property
    def present(self) -> bool:
        """Whether its files are on this machine."""
        needed = [self.weights or self.image, self.image, self.dataset]
        needed += [] if self.make else [self.file]
        return all(path.exists() for path in needed)

    def files(self, folder: Path) -> ModelFiles:
        """What is given to `cvi`; a file that is made is put into `folder`."""
        return ModelFiles(self._file(folder), self.weights, self.random_weights)

    def _file(self, folder: Path) -> Path:
        if self.file.suffix == ".npz":
            return expand(self.file, folder)
        if self.make is None:
            return self.file
        made = folder / self.file.name
        if not made.exists():
            self.make(made)
        return made


def expand(archive: Path, folder: Path) -> Path:
    """The ONNX file of an archive: the graph, and weights stored as int8 with one scale
    per output channel (array `q:NAME` times array `s:NAME`)."""
    import numpy as np
    import onnx

    with np.load(archive, allow_pickle=False) as arrays:
        model = onnx.ModelProto.FromString(arrays["graph"].tobytes())
        for key in arrays.files:
            kind, _, name = key.partition(":")
            if kind != "q":
                continue
            weight = arrays[key].astype(np.float32)
            scale = arrays[f"s:{name}"].reshape(-1, *[1] * (weight.ndim - 1))
            model.graph.initializer.append(onnx.numpy_helper.from_array(weight * scale, name))
    target = folder / f"{archive.stem}.onnx"
    onnx.save(model, str(target))
    return target


def _trained(
    name: str,
    file: str,
    pixels: ImageOptions,
    image: str | Path,
    dataset: str | Path,
    **options: str | float | Tolerance | Mapping[str, tuple[int, ...]] | tuple[int, ...],
) -> ZooModel:
    return ZooModel(
        name=name,
        origin=Origin.TRAINED,
        file=SHARED / "models" / "onnx" / file,
        pixels=pixels,
        image=_IMAGES / image,
        dataset=_IMAGES / dataset,
        **options,  # type: ignore[arg-type]
    )


def _random(name: str, least_cosine: float, **options: int) -> ZooModel:
    return ZooModel(
        name=f"{name}_random",
        origin=Origin.RANDOM,
        file=SHARED / "models" / "random" / f"{name}.npz",
        pixels=ImageOptions(preset="imagenet-torch"),
        image=_IMAGES / "samples" / "cat.jpg",
        dataset=_IMAGES / "imagenet_train100",
        quant_tolerance=LOOSE,
        least_cosine=least_cosine,
        **options,  # type: ignore[arg-type]
    )


_TORCH = ImageOptions(preset="imagenet-torch")
_TENSORFLOW = ImageOptions(preset="tf-minus1-1")
_ZERO_ONE = ImageOptions(preset="zero-one")
_GRAY = ImageOptions(gray=True, raw_scale=1.0)
_BGR = ImageOptions(preset="none")
_ULTRAFACE = ImageOptions(channel_order="rgb", mean=(127.0,), std=(128.0,))
_NANODET = ImageOptions(mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))

_CAT, _PARADE = "samples/cat.jpg", "samples/parade.jpg"
_PHOTOS, _FACES, _STREETS = "imagenet_train100", "orl12", "coco24"
_ULTRAFACE_FILE = "ultraface_rfb320/version-RFB-320"

ZOO: tuple[ZooModel, ...] = (
    ZooModel(
        name="digits",
        origin=Origin.EXAMPLE,
        file=REPOSITORY / "examples" / "digits" / "digits.onnx",
        pixels=_GRAY,
        image=REPOSITORY / "examples" / "digits" / "test" / "digit_0005.png",
        dataset=EXAMPLE_IMAGES,
        least_cosine=0.999,
    ),
    _trained(
        "mnist",
        "mnist/mnist.onnx",
        _GRAY,
        EXAMPLE_IMAGES / "digit_0001.png",
        EXAMPLE_IMAGES,
        least_cosine=0.999,
    ),
    _trained(
        "resnet20_cifar10",
        "resnet20_cifar10/resnet20_cifar10.onnx",
        _ZERO_ONE,
        _CAT,
        _PHOTOS,
        least_cosine=0.998,
    ),
    _trained(
        "resnet56_cifar10",
        "resnet56_cifar10/resnet56_cifar10.onnx",
        _ZERO_ONE,
        _CAT,
        _PHOTOS,
        least_cosine=0.95,
    ),
    _trained(
        "mobilenet_v1_0.25_128",
        "mobilenet_v1_0.25_128/mobilenet_v1_0.25_128_quant_float.onnx",
        _TENSORFLOW,
        "samples/dog.jpg",
        _PHOTOS,
        least_cosine=0.9,
    ),
    _trained(
        "torch_mobilenet_v2",
        "torch_mobilenet_v2/torch_mobilenet_v2_float.onnx",
        _TORCH,
        _CAT,
        _PHOTOS,
        least_cosine=0.95,
    ),
    _trained(
        "pfld",
        "pfld/pfld.onnx",
        _ZERO_ONE,
        "orl12/s1_1.pgm",
        _FACES,
        method="max",
        least_cosine=0.999,
    ),
    _trained(
        "ultraface_rfb320",
        f"{_ULTRAFACE_FILE}.onnx",
        _ULTRAFACE,
        _PARADE,
        _FACES,
        least_cosine=0.99,
    ),
    _trained(
        "ultraface_rfb320_raw",
        f"{_ULTRAFACE_FILE}_without_postprocessing.onnx",
        _ULTRAFACE,
        _PARADE,
        _FACES,
        least_cosine=0.94,
    ),
    _trained("yunet_320", "yunet/yunet_n_320_320.onnx", _BGR, _PARADE, _STREETS, least_cosine=0.97),
    _trained(
        "yunet_dynamic",
        "yunet/yunet_n_dynamic.onnx",
        _BGR,
        _PARADE,
        _STREETS,
        input_shapes={"input": (1, 3, 160, 192)},
        least_cosine=0.97,
    ),
    _trained(
        "nanodet_320",
        "nanodet_320/nanodet.onnx",
        _NANODET,
        "samples/dog.jpg",
        _STREETS,
        method="max",
        least_cosine=0.9,
        batches=(1,),
    ),
    _trained("unet_sedgen", "unet_sedgen/unet.onnx", _GRAY, _CAT, _PHOTOS, least_cosine=0.999),
    _trained(
        "super_resolution",
        "super_resolution/super_resolution.onnx",
        _GRAY,
        "set5/butterfly_GT.bmp",
        "set5",
        least_cosine=0.99,
    ),
    _random("resnet18", 0.99),
    _random("mobilenet_v1_025", 0.9),
    _random("mobilenet_v2", 0.9),
    _random("squeezenet1_1", 0.999),
    _random("shufflenet_v2", 0.93),
    _random("densenet121", 0.98),
    _random("efficientnet_b0", 0.6),
    _random("yolov3_tiny", 0.95),
)


def model(name: str) -> ZooModel:
    """The model of that name; KeyError when the catalogue has none."""
    return {entry.name: entry for entry in ZOO}[name]


def refused() -> dict[str, str]:
    """ONNX files of the shared folder that are not in the catalogue, with what the check of
    the chip says against each; KeyError for one that it accepts."""
    import cvi

    known = {entry.file for entry in ZOO}
    files = sorted(set((SHARED / "models" / "onnx").glob("*/*.onnx")) - known)
    verdicts = {file: cvi.check(file, chip="cv183x") for file in files}
    accepted = [file.stem for file, verdict in verdicts.items() if verdict.passed]
    if accepted:
        raise KeyError(f"not in the catalogue: {', '.join(accepted)}")
    return {file.stem: verdict.problems[0] for file, verdict in verdicts.items()}
