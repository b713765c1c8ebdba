"""Damaged files, as a user meets them: every command ends well or with one CviError.

Whatever the bytes of an input file: no crash, no hang, no traceback, within 10 s of CPU
and 1 GiB of memory each (`bad_input_child`, which works through the mutants).
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from bad_input_child import KINDS
from onnx import helper, numpy_helper

import cvi
from cvi.cli import main
from tflite_models import Net, Scales

MUTANTS = 500
SILENCE = 180.0
"""Seconds of wall time without a line after which the child is taken for stuck: many times
its limit of CPU seconds, for the machine may be busy."""

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


def small_net() -> onnx.ModelProto:
    """A network of a few layers of several kinds: 1x1x16x16 to four probabilities."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (4, 1, 3, 3), "w2": (4, 1, 3, 3), "w3": (4, 4, 1, 1), "w4": (16, 4)}
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1] * 4, group=4),
        helper.make_node("Conv", ["c", "w3"], ["d"]),
        helper.make_node("Add", ["b", "d"], ["e"]),
        helper.make_node("Sigmoid", ["e"], ["f"]),
        helper.make_node("MaxPool", ["f"], ["g"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Reshape", ["g", "shape"], ["h"]),
        helper.make_node("MatMul", ["h", "w4"], ["i"]),
        helper.make_node("Softmax", ["i"], ["p"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 1, 16, 16])],
        [helper.make_empty_tensor_value_info("p")],
        [*weights, numpy_helper.from_array(np.array([1, -1]), "shape")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def small_integer_net() -> Net:
    """A TFLite network of int8 tensors that brings its own thresholds."""
    rng = np.random.default_rng(0)
    net, grid = Net(), Scales([0.05], [3])
    x = net.input(1, 16, 16, 3, type="INT8", scales=Scales([1 / 128], [0]))
    for channels, depth in ((4, 3), (6, 4)):
        weights = rng.integers(-127, 128, (channels, 3, 3, depth)).astype(np.int8)
        w = net.const(weights, scales=Scales([0.02] * channels, [0] * channels))
        b = net.const(np.arange(channels, dtype=np.int32), scales=Scales([0.001]))
        x = net.op(
            "CONV_2D", x, w, b, options="Conv2DOptions", StrideH=2, StrideW=2,
            FusedActivationFunction=1, type="INT8", scales=grid,
        )  # fmt: skip
    mean = net.op(
        "MEAN", x, net.const([1, 2]), options="ReducerOptions", KeepDims=False, type="INT8",
        scales=grid,
    )  # fmt: skip
    net.outputs = [net.op("RESHAPE", mean, net.const([1, 6]), type="INT8", scales=grid)]
    return net


CAFFE = """input: "image" input_dim: 1 input_dim: 1 input_dim: 16 input_dim: 16
layer { name: "c" type: "Convolution" bottom: "image" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 bias_term: false } }
layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param { eps: 0.001 } }
layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "d" type: "Convolution" bottom: "c" top: "d"
  convolution_param { num_output: 4 kernel_h: 3 kernel_w: 3 pad: 1 group: 4 } }
layer { name: "e" type: "Eltwise" bottom: "c" bottom: "d" top: "e"
  eltwise_param { coeff: 1 coeff: 1 } }
layer { name: "p" type: "Pooling" bottom: "e" top: "p"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "l" type: "Slice" bottom: "p" top: "l0" top: "l1" slice_param { slice_point: 2 } }
layer { name: "k" type: "Concat" bottom: "l1" bottom: "l0" top: "k" }
layer { name: "i" type: "InnerProduct" bottom: "k" top: "i" inner_product_param { num_output: 5 } }
layer { name: "y" type: "Softmax" bottom: "i" top: "y" }
"""


def caffe_weights() -> bytes:
    """A `.caffemodel` of the network above, which holds the layers too."""
    from cvi_frontend_caffe import schema
    from cvi_frontend_caffe.text import read_text

    rng = np.random.default_rng(0)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "c": [(4, 1, 3, 3)],
        "b": [(4,), (4,), (1,)],
        "s": [(4,), (4,)],
        "d": [(4, 1, 3, 3), (4,)],
        "i": [(5, 64), (5,)],
    }
    net = schema.message("NetParameter")
    read_text(CAFFE, net)
    for layer in net.layer:
        for shape in shapes.get(layer.name, ()):
            blob = layer.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data.append(np.abs(rng.normal(0, 0.4, shape)).astype("<f4").tobytes())
    return bytes(net.SerializeToString())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound files of every kind, made by the commands themselves."""
    here = tmp_path_factory.mktemp("sound")
    onnx.save(small_net(), str(here / "net.onnx"))
    small_integer_net().save(here / "integers.tflite")
    (here / "net.prototxt").write_text(CAFFE)
    (here / "net.caffemodel").write_bytes(caffe_weights())
    (here / "digits.onnx").write_bytes((DIGITS / "digits.onnx").read_bytes())
    pixels = cv2.imread(str(DIGITS / "test" / "digit_0000.png"), cv2.IMREAD_GRAYSCALE)
    for suffix in ("png", "jpg", "bmp", "webp", "pgm"):
        assert cv2.imwrite(str(here / f"image.{suffix}"), pixels)
    np.save(here / "image.npy", np.full((1, 1, 16, 16), 0.5, np.float32))
    np.savez(here / "image.npz", image=np.full((1, 1, 16, 16), 0.5, np.float32))
    pixel_options = cvi.ImageOptions(gray=True, input_scale=1 / 255)
    for name, size in (("net", 16), ("digits", 32)):
        ir, table = here / f"{name}.cvi.json", here / f"{name}.table"
        image = here / "image.png"
        cvi.transform(here / f"{name}.onnx", ir, image_options=pixel_options, images=[image])
        cvi.calibrate_model(ir, table, dataset=image)
        program = here / f"{name}.cvimodel"
        cvi.deploy(ir, program, chip="cv183x", calibration_table=table, images=[image])
        np.savez(here / f"{name}.npz", image=np.full((1, 1, size, size), 0.5, np.float32))
    return here


def lines(folder: Path, kind: str, first: int) -> Iterator[dict[str, object]]:
    """What the child says of the mutants from `first` on, and at last how it ended."""
    command = [sys.executable, str(Path(__file__).with_name("bad_input_child.py"))]
    log = folder.parent / "child.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, str(folder), kind, str(first), str(MUTANTS)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):
        assert child.stdout
        while select.select([child.stdout], [], [], SILENCE)[0]:
            line = child.stdout.readline()
            if not line:
                break
            yield json.loads(line)
        else:
            child.kill()
        code = child.wait()
    if code:
        yield {"death": code, "log": log.read_text()[-2000:]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_mutant_ends_well_or_with_one_error(folder: Path, kind: str) -> None:
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    seed = -1
    while seed < MUTANTS - 1 and len(wrong) < 10:
        for said in lines(folder, kind, seed + 1):
            if "death" in said:
                wrong.append(f"seed {seed}: the process ended with {said['death']} {said['log']}")
                break
            seed = int(str(said["seed"]))
            results = said["results"]
            assert isinstance(results, list)
            outcomes.update(r for r in results if r in ("done", "refused"))
            wrong += [f"seed {seed}: {r}" for r in results if r not in ("done", "refused")]
    assert not wrong, "\n\n".join(wrong)
    assert seed == MUTANTS - 1
    assert min(outcomes["done"], outcomes["refused"]) >= 20, outcomes


def test_sound_files_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the table above succeed on what is not damaged."""
    monkeypatch.chdir(folder)
    Path("out").mkdir(exist_ok=True)
    for kind in KINDS.values():
        originals = sorted(Path().glob(kind.originals))
        assert originals
        for original in originals:
            stem = original.name.partition(".")[0]
            for command in kind.commands:
                if "--program 1" not in command:
                    words = command.format(mutant=original, stem=stem).split()
                    assert main(words) == 0, words
