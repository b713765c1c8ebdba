"""Files that are no Caffe networks, or damaged ones."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from caffe_nets import inputs_text, numbers

from cvi.errors import CviError, InputError, ModelError
from cvi_frontend_caffe import schema
from cvi_frontend_caffe.frontend import CaffeFrontend
from cvi_frontend_caffe.writer import caffemodel
from mutants import ANY_FORMAT, digit_changed, text_changed

LOAD = CaffeFrontend().load
ACCEPTS = CaffeFrontend().accepts

CONTENTS = {
    "html": (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "LFS"),
    "empty": (b"", "empty"),
    "zip": (b"PK\x03\x04rest", "zip"),
    "words": (b"hello, I am not a network", "stands where a field|no value"),
    "solver": (b'net: "train.prototxt"\nbase_lr: 0.1\n', "describes a training"),
    "onnx_text": (b'graph { node { op_type: "Conv" } }', "no layers.*graph"),
    "zeros": (bytes(1000), "no Caffe network|no layers"),
}


@pytest.mark.parametrize("suffix", ["prototxt", "caffemodel"])
@pytest.mark.parametrize("name", CONTENTS)
def test_other_files_are_called_by_their_name(tmp_path: Path, name: str, suffix: str) -> None:
    content, why = CONTENTS[name]
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(content)
    assert ACCEPTS(path)
    with pytest.raises(ModelError, match=why) as caught:
        LOAD(path)
    assert str(path) in caught.value.where and caught.value.fix


NET = inputs_text({"data": (1, 2, 8, 8)}) + (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
    "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 2 } }\n"
    'layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" }\n'
    'layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }\n'
    'layer { name: "r" type: "ReLU" bottom: "c" top: "c" relu_param { negative_slope: 0.1 } }\n'
    'layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 } }\n'
    'layer { name: "l" type: "Slice" bottom: "p" top: "l0" top: "l1" }\n'
    'layer { name: "e" type: "Eltwise" bottom: "l0" bottom: "l1" top: "e" '
    "eltwise_param { coeff: 1 coeff: 0.5 } }\n"
    'layer { name: "u" type: "Upsample" bottom: "e" top: "u" upsample_param { scale: 2 } }\n'
    'layer { name: "i" type: "Interp" bottom: "u" top: "i" interp_param { height: 5 width: 4 } }\n'
    'layer { name: "f" type: "Reshape" bottom: "i" top: "f" '
    "reshape_param { shape { dim: 0 dim: -1 } } }\n"
    'layer { name: "y" type: "InnerProduct" bottom: "f" top: "y" '
    "inner_product_param { num_output: 3 } }\n"
    'layer { name: "x" type: "PriorBox" bottom: "p" bottom: "data" top: "x" prior_box_param '
    "{ min_size: 3 max_size: 5 aspect_ratio: 2 variance: 0.1 } }\n"
)
WEIGHTS = {
    "c": [numbers(4, 1, 3, 3), numbers(4)],
    "b": [numbers(4), numbers(4, low=0.1), np.ones(1, np.float32)],
    "s": [numbers(4), numbers(4)],
    "y": [numbers(3, 40), numbers(3)],
}


@pytest.fixture
def sound(tmp_path: Path) -> tuple[Path, Path]:
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(NET)
    weights.write_bytes(caffemodel(WEIGHTS))
    return net, weights


def test_the_sound_files_load(sound: tuple[Path, Path]) -> None:
    graph = LOAD(sound[0], weights=sound[1], outputs=["y"])
    assert graph.outputs == ("y",)


@pytest.mark.parametrize("damaged", [0, 1], ids=["prototxt", "caffemodel"])
def test_mutants_load_or_are_refused(sound: tuple[Path, Path], damaged: int) -> None:
    """150 of each kind; the whole command line is tried with more, in bounded processes."""
    original = sound[damaged].read_bytes()
    mutators = (digit_changed, text_changed, *ANY_FORMAT) if damaged == 0 else ANY_FORMAT
    outcomes = {"done": 0, "refused": 0}
    for seed in range(150):
        rng = random.Random(seed)
        sound[damaged].write_bytes(rng.choice(mutators)(original, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                LOAD(sound[0], weights=sound[1], outputs=["y"])
            outcomes["done"] += 1
        except CviError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10, outcomes


@pytest.mark.parametrize("place", [b"filler", b"stage_", b"bottom", b"engine"])
def test_texts_that_are_no_text(tmp_path: Path, place: bytes) -> None:
    """protobuf only finds out when they are looked at."""
    net = schema.message("NetParameter")
    net.input.append("x")
    net.input_shape.add().dim.extend([1, 2])
    layer = net.layer.add(name="r", type="ReLU", bottom=["bottom", "x"], top=["y"])
    layer.engine = "engine"
    layer.prelu_param.filler.type = "filler"
    layer.include.add(stage=["stage_"])
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString().replace(place, b"\xff\xfe\xff\xfe\xff\xfe"))
    with pytest.raises(ModelError, match="a name that is no text"):
        LOAD(path)


# -- recognition -------------------------------------------------------------------------


def test_networks_are_recognised_without_their_suffix(sound: tuple[Path, Path]) -> None:
    for path in sound:
        other = path.with_suffix(".bin")
        other.write_bytes(path.read_bytes())
        assert ACCEPTS(other)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(64), b"\x1c\0\0\0TFL3" + bytes(64)])
def test_other_formats_are_not_claimed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    assert not ACCEPTS(path) and not ACCEPTS(tmp_path)


def test_models_of_other_frameworks_are_not_claimed(shared: Path) -> None:
    files = [*shared.glob("models/onnx/*/*.onnx"), *shared.glob("models/tflite/*/*.tflite")]
    assert len(files) > 10
    assert not [f for f in files if ACCEPTS(f)]


def test_the_two_files_swapped(sound: tuple[Path, Path]) -> None:
    net, _ = sound
    with pytest.raises(ModelError, match="is text: a network description"):
        LOAD(net, weights=net)
    with pytest.raises(InputError, match="cannot be read"):
        LOAD(net.with_name("none.prototxt"))
    with pytest.raises(InputError, match="folder"):
        LOAD(net.parent)
