"""Reference inference: what OpenCV cannot run is named, and the rest still compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_nets import Made, close, inputs_text, loaded, numbers, values

import cvi
from cvi.errors import InputError, VerificationError
from cvi_frontend_caffe.frontend import CaffeFrontend

CONV = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }"
TEXT = inputs_text({"data": (1, 3, 8, 8)}) + (
    f'layer {{ name: "c0" type: "Convolution" bottom: "data" top: "a" {CONV} }}\n'
    'layer { name: "swish" type: "HardSwish" bottom: "a" top: "a" }\n'
    'layer { name: "cut" type: "Slice" bottom: "a" top: "l" top: "r" }\n'
    'layer { name: "up" type: "Upsample" bottom: "r" top: "u" upsample_param { scale: 2 } }\n'
    'layer { name: "six" type: "ReLU" bottom: "u" top: "u" relu_param { relu6: true } }\n'
    f'layer {{ name: "c1" type: "Convolution" bottom: "u" top: "b" {CONV} }}\n'
    'layer { name: "axpy" type: "Axpy" bottom: "gain" bottom: "b" bottom: "b2" top: "z" }\n'
)
BLOBS = {
    "c0": [numbers(4, 3, 3, 3), numbers(4)],
    "c1": [numbers(4, 2, 3, 3), numbers(4)],
}


def test_layers_around_those_that_opencv_lacks_are_compared(made: Made) -> None:
    text = inputs_text({"gain": (1, 4), "b2": (1, 4, 16, 16)}) + TEXT
    net, weights = made(text, BLOBS)
    inputs = {
        "data": numbers(1, 3, 8, 8),
        "gain": numbers(1, 4),
        "b2": numbers(1, 4, 16, 16, seed=4),
    }
    shown = CaffeFrontend().reference(net, inputs, weights=weights)
    ours = values(loaded(net, weights), inputs)
    assert shown.missing == {
        "swish": "OpenCV has no layer HardSwish",
        "up": "OpenCV has no layer Upsample",
    }
    compared = {"c0", "cut_0", "cut_1", "six", "c1", "axpy"}
    assert set(shown) - set(inputs) == compared
    for name in compared:
        close(ours[name], shown[name])
    asked = CaffeFrontend().reference(net, inputs, weights=weights, tensors=["c1", "up", "data"])
    assert set(asked) == {"c1", "data"} and set(asked.missing) == {"up"}
    with pytest.raises(InputError):
        CaffeFrontend().reference(net, inputs, weights=weights, tensors=["cc"])


def test_fields_of_forks_do_not_make_opencv_forget_the_defaults(made: Made) -> None:
    """It would divide by a group of 0 and crash the process."""
    sides = "pad_t: 1 pad_l: 0 pad_b: 0 pad_r: 1"
    text = inputs_text({"data": (1, 3, 8, 8)}) + (
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        f"convolution_param {{ num_output: 4 kernel_size: 3 {sides} }} }}\n"
        'layer { name: "d" type: "Convolution" bottom: "c" top: "d" '
        "convolution_param { num_output: 4 kernel_size: 3 relu: false } }\n"
        'layer { name: "p" type: "Pooling" bottom: "c" top: "p" '
        f"pooling_param {{ kernel_size: 2 stride: 2 {sides} }} }}\n"
    )
    net, weights = made(text, {"c": BLOBS["c0"], "d": [numbers(4, 4, 3, 3), numbers(4)]})
    inputs = {"data": numbers(1, 3, 8, 8)}
    shown = CaffeFrontend().reference(net, inputs, weights=weights)
    ours = values(loaded(net, weights), inputs)
    assert set(shown) == {"data", "c", "d", "p"}
    for name in ("c", "d", "p"):
        close(ours[name], shown[name])


def test_made_up_data_and_other_phases_are_no_obstacle(made: Made) -> None:
    text = TEXT.partition('layer { name: "swish"')[0] + (
        'layer { name: "k" type: "DummyData" top: "k" dummy_data_param '
        "{ shape { dim: 1 dim: 4 dim: 8 dim: 8 } data_filler { value: 3 } } }\n"
        'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "k" top: "sum" }\n'
        'layer { name: "odd" type: "Oddity" bottom: "a" top: "o" include { phase: TRAIN } }\n'
    )
    net, weights = made(text, BLOBS)
    inputs = {"data": numbers(1, 3, 8, 8)}
    shown = CaffeFrontend().reference(net, inputs, weights=weights)
    close(values(loaded(net, weights), inputs)["sum"], shown["sum"])
    assert not shown.missing


def test_whole_networks_run_as_they_are(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenCV knows goes into it once, as the file is."""
    from cvi_frontend_caffe import reference

    calls = []

    def counted(text: bytes, *others: Any) -> Any:
        calls.append(text)
        return run(text, *others)

    run = reference.run_network
    monkeypatch.setattr(reference, "run_network", counted)
    text = TEXT.partition('layer { name: "swish"')[0]
    net, weights = made(text, BLOBS)
    shown = CaffeFrontend().reference(net, {"data": numbers(1, 3, 8, 8)}, weights=weights)
    assert set(shown) == {"data", "c0"} and calls == [net.read_bytes()]


@pytest.fixture
def caffe_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from cvi import plugins

    monkeypatch.setattr(plugins, "frontend_for", lambda path: CaffeFrontend())


class Notes:
    """Remembers what a conversion tells."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, title: str) -> None:
        pass

    def step(self, done: int, total: int | None = None) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.usefixtures("caffe_is_there")
def test_a_transformation_tells_what_was_not_compared_and_why(made: Made, tmp_path: Path) -> None:
    net, weights = made(TEXT.rpartition("layer {")[0], BLOBS)
    np.savez(tmp_path / "x.npz", data=numbers(1, 3, 8, 8))
    notes = Notes()
    cvi.transform(
        net, tmp_path / "x.cvi.json", weights=weights, images=[tmp_path / "x.npz"],
        work_dir=tmp_path / "work", progress=notes,
    )  # fmt: skip
    assert "1 of them: OpenCV has no layer HardSwish" in notes.notes
    assert any("not compared" in note and "swish" in note for note in notes.notes)
    assert "OpenCV has no layer HardSwish" in next((tmp_path / "work").glob("*.csv")).read_text()


@pytest.mark.usefixtures("caffe_is_there")
def test_a_wrong_import_is_found(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison fails when a converter is wrong: here a kernel with its axes swapped."""
    from cvi_frontend_caffe import blobs

    monkeypatch.setattr(
        blobs.Blobs, "_stored",
        lambda self, layer, index, shape: np.ascontiguousarray(
            self._file[layer][index].swapaxes(-1, -2).reshape(shape)
        ) if index == 0 else self._file[layer][index],
    )  # fmt: skip
    text = TEXT.partition('layer { name: "swish"')[0]
    net, weights = made(text, BLOBS)
    np.savez(tmp_path / "x.npz", data=numbers(1, 3, 8, 8))
    with pytest.raises(VerificationError):
        cvi.transform(net, tmp_path / "x.cvi.json", weights=weights, images=[tmp_path / "x.npz"])
