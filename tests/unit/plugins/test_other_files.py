"""What the user is told about files that no frontend reads."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

from cvi import plugins
from cvi.errors import CviError


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return data.getvalue()


WEIGHTS = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'

CASES = {
    "page.bin": (b"\n<!DOCTYPE html><html>", "HTML page", "raw file"),
    "pointer.bin": (b"version https://git-lfs.github.com/spec/v1\n", "LFS pointer", "git lfs pull"),
    "empty.bin": (b"", "is empty", "again"),
    "model.pt": (zipped("model/data.pkl", "model/version"), "PyTorch", "torch.onnx.export("),
    "old.pth": (pickle.dumps(0x1950A86A20F9469CFC6C, 2), "pickle", "torch.load('old.pth'"),
    "keras.zip": (zipped("config.json", "model.weights.h5"), "Keras", "cvi-frontend-tflite"),
    "other.zip": (zipped("readme.txt"), "zip archive", "unpack"),
    "a.engine": (b"ftrt" + bytes(20), "TensorRT", "ONNX model that it was built from"),
    "b.engine": (b"\x01\x02\x03\x04", "TensorRT", "ONNX model that it was built from"),
    "done.cvimodel": (b"CviModel" + bytes(20), "cvimodel already", "cvi run"),
    "w.safetensors": (len(WEIGHTS).to_bytes(8, "little") + WEIGHTS, "only weights", "ONNX"),
    "net.param": (b"7767517\n75 83\n", "ncnn", "ONNX"),
    "strange.xyz": (b"\xff\xfe\xfd\xfc", "no installed frontend", "complete model file"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_unreadable_file_is_called_what_it_is(tmp_path: Path, name: str) -> None:
    content, why, fix = CASES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CviError) as caught:
        plugins.frontend_for(path)
    assert why in caught.value.why
    assert fix in caught.value.fix
    assert caught.value.where == str(path)


def test_hdf5_without_the_frontend_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(9))
    assert plugins.frontend_for(path).name == "tflite"
    monkeypatch.setattr(plugins, "frontends", dict)
    with pytest.raises(CviError, match="HDF5") as caught:
        plugins.frontend_for(path)
    assert "cvi-frontend-tflite[tensorflow]" in caught.value.fix


@pytest.mark.parametrize("name", ["model.pt", "old.pth", "page.bin"])
def test_a_wrong_suffix_does_not_hide_it(tmp_path: Path, name: str) -> None:
    content, why, _ = CASES[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(CviError, match=why):
        plugins.frontend_for(path).load(path)
