"""Whole files: old forms, inputs, phases, weights, names and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_nets import Made, close, inputs_text, layer_text, loaded, numbers, values

from cvi.errors import InputError, ModelError, UnsupportedError
from cvi_frontend_caffe import schema
from cvi_frontend_caffe.frontend import CaffeFrontend
from cvi_frontend_caffe.opencv import run_network
from cvi_frontend_caffe.upgrade import new_type
from cvi_frontend_caffe.weights import read_weights

V1 = """name: "old"
input: "data" input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 8
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c"
  blobs_lr: 1 weight_decay: 1 convolution_param { num_output: 3 kernel_size: 3 } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "p" type: POOLING bottom: "c" top: "p"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { name: "i" type: INNER_PRODUCT bottom: "p" top: "i"
  inner_product_param { num_output: 4 } }
layers { name: "d" type: DROPOUT bottom: "i" top: "i" dropout_param { dropout_ratio: 0.5 } }
layers { name: "s" type: SOFTMAX bottom: "i" top: "s" }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "i" bottom: "data" include { phase: TRAIN } }
"""
BLOBS = {"c": [numbers(3, 2, 3, 3), numbers(3)], "i": [numbers(4, 27), numbers(4)]}


def v1_weights() -> bytes:
    """The same blobs as a file of old: `layers`, and shapes of four fixed dimensions."""
    file = schema.message("WeightFile")
    for name, blobs in BLOBS.items():
        layer = file.layers.add(name=name)
        for array in blobs:
            shape = (1,) * (4 - array.ndim) + array.shape
            blob = layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3])
            blob.data.append(array.tobytes())
    return bytes(file.SerializeToString())


def test_old_layers_mean_what_opencv_computes(made: Made) -> None:
    net, weights = made(V1)
    weights.write_bytes(v1_weights())
    x = numbers(1, 2, 8, 8)
    names = {"c": ["c"], "r": ["c"], "p": ["p"], "i": ["i"], "s": ["s"]}
    without_loss = V1.rpartition("layers {")[0].encode()
    theirs = run_network(without_loss, weights.read_bytes(), {"data": x}, names)
    ours = values(loaded(net, weights), {"data": x})
    assert set(ours) == {"data", "i_reshape", *names}
    for name in names:
        close(ours[name], theirs[name][0])


def test_every_old_type_has_its_new_name() -> None:
    known = schema.classes()["V1LayerParameter"].DESCRIPTOR.fields_by_name["type"].enum_type
    names = {v.name: new_type(v.name) for v in known.values}
    assert names["INNER_PRODUCT"] == "InnerProduct" and names["LRN"] == "LRN"
    assert names["SIGMOID_CROSS_ENTROPY_LOSS"] == "SigmoidCrossEntropyLoss"
    assert names["TANH"] == "TanH" and names["NONE"] == "" and len(names) == 40


def test_the_first_format_of_all_is_refused_by_name(made: Made) -> None:
    text = 'input: "x" input_dim: 1 layers { layer { name: "c" type: "conv" } bottom: "x" }'
    with pytest.raises(UnsupportedError, match="first format"):
        loaded(made(text)[0])


# -- weights --------------------------------------------------------------------------


def stored(**fields: Any) -> bytes:
    file = schema.message("WeightFile")
    blob = file.layer.add(name="layer").blobs.add()
    blob.shape.dim.append(3)
    for name, value in fields.items():
        target = getattr(blob, name)
        target.append(value) if hasattr(target, "append") else setattr(blob, name, value)
    return bytes(file.SerializeToString())


VALUES = np.array([1.5, -2, 0.25])


@pytest.mark.parametrize(
    "data",
    [
        stored(data=VALUES.astype("<f4").tobytes()),
        stored(double_data=VALUES.astype("<f8").tobytes()),
        stored(raw_data=VALUES.astype("<f2").tobytes(), raw_data_type=2),
        stored(raw_data=VALUES.astype("<f4").tobytes(), raw_data_type=1),
    ],
    ids=["float", "double", "half", "raw"],
)
def test_blobs_of_every_type(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(data)
    (blob,) = read_weights(path)["layer"]
    assert blob.dtype == np.float32 and np.array_equal(blob, VALUES)


def test_numbers_that_are_not_packed(tmp_path: Path) -> None:
    """One tag per number, as the oldest writers did."""
    blob = b"\x3a\x02\x0a\x00"  # shape {}
    numbers = b"".join(b"\x2d" + v.tobytes() for v in VALUES.astype("<f4"))
    blob = b"\x3a\x03\x0a\x01\x03" + numbers
    layer = b"\x0a\x01a" + b"\x3a" + bytes([len(blob)]) + blob
    path = tmp_path / "w.caffemodel"
    path.write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    assert np.array_equal(read_weights(path)["a"][0], VALUES)


def test_missing_weights_are_named_and_never_made_up(made: Made) -> None:
    net, weights = made(V1, {"c": BLOBS["c"]})
    with pytest.raises(InputError, match=r"no weights for 1 layers: InnerProduct 'i' \(line 8\)"):
        loaded(net, weights)
    with pytest.raises(InputError, match="no weights for 2 layers") as caught:
        loaded(net)
    assert caught.value.where == "--weights" and "--random-weights" in caught.value.fix


def test_weights_that_do_not_fit(made: Made) -> None:
    net, weights = made(V1, {**BLOBS, "i": [numbers(4, 28), numbers(4)]})
    with pytest.raises(ModelError, match="4x28 in the file, but 4x27 are needed"):
        loaded(net, weights)
    net, weights = made(V1, {**BLOBS, "r": [numbers(4)]})
    with pytest.raises(ModelError, match="more than it needs"):
        loaded(net, weights)


def test_a_caffemodel_alone_holds_the_network(made: Made, tmp_path: Path) -> None:
    net, weights = made(V1, BLOBS)
    file = schema.message("NetParameter")
    from cvi_frontend_caffe.net import read_net

    read = read_net(net)
    for layer in read.layers:
        added = file.layer.add()
        added.CopyFrom(layer.proto)
        for array in BLOBS.get(layer.name, ()):
            blob = added.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.append(array.tobytes())
    path = tmp_path / "alone.caffemodel"
    path.write_bytes(file.SerializeToString())
    with pytest.raises(ModelError, match="reads 'data', which no layer before it writes"):
        loaded(path)
    file.input.append("data")
    path.write_bytes(file.SerializeToString())
    with pytest.raises(InputError, match="does not say how large"):
        loaded(path)
    graph = loaded(path, input_shapes={"data": (1, 2, 8, 8)})
    x = {"data": numbers(1, 2, 8, 8)}
    close(values(graph, x)["s"], values(loaded(net, weights), x)["s"])


# -- inputs ---------------------------------------------------------------------------

RELU = 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }\n'


@pytest.mark.parametrize(
    "text, shape",
    [
        ('input: "data" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5\n', (2, 3, 4, 5)),
        ('input: "data" input_shape { dim: 2 dim: 3 }\n', (2, 3)),
        ('layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 7 } } }', (7,)),
        ('layer { name: "d" type: "MemoryData" top: "data" top: "label" memory_data_param '
         "{ batch_size: 2 channels: 3 height: 4 width: 5 } }", (2, 3, 4, 5)),
        ('layer { name: "d" type: "Data" top: "data" top: "label" transform_param '
         "{ crop_size: 9 } data_param { batch_size: 50 } }", (1, 3, 9, 9)),
        ('layer { name: "d" type: "DummyData" top: "data" dummy_data_param '
         "{ shape { dim: 4 dim: 2 } data_filler { value: 0.5 } } }", (4, 2)),
        ('layer { name: "d" type: "DummyData" top: "data" dummy_data_param '
         "{ num: 1 channels: 2 height: 3 width: 4 } }", (1, 2, 3, 4)),
    ],
)  # fmt: skip
def test_inputs_of_all_kinds(made: Made, text: str, shape: tuple[int, ...]) -> None:
    (op,) = loaded(made(text + RELU)[0]).inputs
    assert (op.name, op.source, op.type.shape) == ("data", "data", shape)


def test_made_up_data_beside_an_input_is_a_constant(made: Made) -> None:
    text = (
        inputs_text({"data": (1, 2)})
        + 'layer { name: "k" type: "DummyData" top: "k" dummy_data_param '
        "{ shape { dim: 1 dim: 2 } data_filler { value: 3 } } }\n"
        + 'layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "k" top: "sum" }'
    )
    ours = values(loaded(made(text)[0]), {"data": np.ones((1, 2), np.float32)})
    assert np.array_equal(ours["sum"], [[4, 4]])


def test_batch_and_shapes_can_be_changed(made: Made) -> None:
    reshape = layer_text("Reshape", "reshape_param { shape { dim: 1 dim: 12 } }", bottoms=["data"])
    net, _ = made(inputs_text({"data": (1, 3, 4)}) + reshape)
    assert loaded(net, batch=5)["layer"].type.shape == (5, 12)
    assert loaded(net, input_shapes={"data": (2, 4, 3)})["layer"].type.shape == (2, 12)
    with pytest.raises(InputError, match="no input 'date'; it has data"):
        loaded(net, input_shapes={"date": (1, 3, 4)})


# -- phases, names and outputs ----------------------------------------------------------


def test_phases_and_stages(made: Made) -> None:
    rules = {
        "a": "include { phase: TEST }",
        "b": "include { phase: TRAIN }",
        "c": "exclude { phase: TEST }",
        "d": "exclude { phase: TRAIN }",
        "e": 'include { stage: "deploy" }',
        "f": 'include { not_stage: "deploy" }',
        "g": "include { phase: TRAIN } include { min_level: 0 }",
        "h": "include { min_level: 1 }",
        "i": "exclude { max_level: 0 }",
    }
    layers = [
        f'layer {{ name: "{n}" type: "ReLU" bottom: "data" top: "{n}" {rule} }}'
        for n, rule in rules.items()
    ]
    graph = loaded(made(inputs_text({"data": (1, 2)}) + "\n".join(layers))[0])
    assert [op.name for op in graph.ops] == ["data", "a", "d", "e", "g"]


def test_layers_that_only_serve_training_are_left_out(made: Made) -> None:
    text = inputs_text({"data": (1, 2), "label": (1,)}) + RELU
    text += 'layer { name: "acc" type: "Accuracy" bottom: "r" bottom: "label" top: "acc" }'
    with pytest.warns(UserWarning, match=r"left out.*Accuracy 'acc' \(line 4\)"):
        graph = loaded(made(text)[0])
    assert graph.outputs == ("r",) and [op.name for op in graph.inputs] == ["data"]


def test_unknown_fields_are_warned_of(made: Made) -> None:
    text = inputs_text({"data": (1, 2)}) + RELU.replace("top:", "glow: 3 top:")
    with pytest.warns(UserWarning, match=r"unknown and ignored: layer.glow \(line 2\)"):
        loaded(made(text)[0])


def test_layers_in_place_keep_their_own_values(made: Made) -> None:
    """A blob that is overwritten, and read before and after."""
    text = inputs_text({"data": (1, 3, 2, 2)}) + (
        'layer { name: "scale" type: "Power" bottom: "data" top: "x" power_param { scale: -1 } }\n'
        'layer { name: "before" type: "AbsVal" bottom: "x" top: "before" }\n'
        'layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }\n'
        'layer { name: "drop" type: "Dropout" bottom: "x" top: "x" }\n'
        'layer { name: "after" type: "Eltwise" bottom: "x" bottom: "before" top: "after" }\n'
    )
    net, _ = made(text)
    x = numbers(1, 3, 2, 2)
    graph = loaded(net)
    ours = values(graph, {"data": x})
    assert np.array_equal(ours["after"], np.maximum(-x, 0) + np.abs(x))
    shown = CaffeFrontend().reference(net, {"data": x})
    assert all(op.source == op.name for op in graph.ops)
    for name in ("scale", "before", "relu", "after"):
        close(ours[name], shown[name])


def test_a_layer_called_like_an_input_is_not_taken_for_it(made: Made) -> None:
    text = inputs_text({"x": (1, 2)})
    text += 'layer { name: "x" type: "Power" bottom: "x" top: "y" power_param { shift: 1 } }'
    net, _ = made(text)
    graph = loaded(net)
    assert [op.source for op in graph.ops] == ["x", ""]
    x = {"x": numbers(1, 2)}
    assert np.array_equal(CaffeFrontend().reference(net, x)["x"], x["x"])
    assert np.array_equal(values(graph, x)[graph.outputs[0]], x["x"] + 1)


def test_the_network_can_be_cut(made: Made) -> None:
    net, weights = made(V1, BLOBS)
    assert loaded(net, weights, outputs=["c"]).outputs == ("c",)
    assert loaded(net, weights, outputs=["r"]).outputs == ("r",)
    assert loaded(net, weights, outputs=["d"]).outputs == ("i",)
    assert loaded(net, weights, outputs=["[pi]"]).outputs == ("p", "i")
    assert loaded(net, weights, outputs=["p"]).ops[-1].name == "p"
    with pytest.raises(InputError, match="no layer or blob matches 'ip', near"):
        loaded(net, weights, outputs=["ip"])


def test_an_unsupported_layer_can_be_cut_off(made: Made) -> None:
    text = inputs_text({"data": (1, 2)}) + RELU
    text += 'layer { name: "odd" type: "Oddity" bottom: "r" top: "odd" }\n'
    net, _ = made(text)
    with pytest.raises(UnsupportedError) as caught:
        loaded(net)
    assert caught.value.outputs == ("r",) and "r" in caught.value.fix
    assert loaded(net, outputs=["r"]).outputs == ("r",)


BAD_NETS = {
    "twice": RELU + RELU,
    "nowhere": RELU.replace("data", "date"),
    "nameless": RELU.replace('name: "r"', ""),
    "both": RELU + 'layers { name: "x" type: RELU bottom: "data" top: "y" }',
    "top_twice": 'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "a" }',
    "both_rules": RELU.replace("top", "include { phase: TEST } exclude { phase: TRAIN } top"),
    "no_bottom": 'layer { name: "r" type: "ReLU" top: "r" }',
    "huge": RELU.replace("data", "big"),
    "unprintable": RELU.replace('name: "r"', r'name: "r\x01"'),
}


@pytest.mark.parametrize("name", BAD_NETS)
def test_broken_networks(made: Made, name: str) -> None:
    text = inputs_text({"data": (1, 2), "big": (1, 1 << 40)}) + BAD_NETS[name]
    with pytest.raises(ModelError) as caught:
        loaded(made(text)[0])
    assert caught.value.where and caught.value.why
