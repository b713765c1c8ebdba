"""Host preprocessing against the description of FACTS_TOOLCHAIN 2.1 in plain cv2 and numpy."""

from __future__ import annotations

import builtins
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.errors import CviError, InputError
from cvi.preprocess.header import image_size
from cvi.preprocess.host import load_image, load_resized
from cvi.preprocess.presets import PRESETS
from cvi.preprocess.spec import Preprocess

make = Preprocess.from_options
SIZES = st.integers(1, 70)


def described(image: np.ndarray, p: Preprocess) -> np.ndarray:
    """Steps 2 to 7 of the description, channel by channel."""
    h, w = p.resize_dims
    if p.keep_aspect_ratio:
        scale = min(w / image.shape[1], h / image.shape[0])
        nh, nw = max(1, int(image.shape[0] * scale)), max(1, int(image.shape[1] * scale))
        small = cv2.resize(image, (nw, nh))
        padded = np.zeros((h, w, *image.shape[2:]), np.uint8)
        padded[(h - nh) // 2 : (h - nh) // 2 + nh, (w - nw) // 2 : (w - nw) // 2 + nw] = small
        image = padded
    else:
        image = cv2.resize(image, (w, h))
    planes = [image] if image.ndim == 2 else [image[:, :, c] for c in range(image.shape[2])]
    net_h, net_w = p.net_input_dims
    top, left = h // 2 - net_h // 2, w // 2 - net_w // 2
    if p.crop == "right":
        top, left = h - net_h, w - net_w
    planes = [plane[top : top + net_h, left : left + net_w] for plane in planes]
    if p.channel_order == "rgb" and len(planes) == 3:
        planes.reverse()
    out = []
    for c, plane in enumerate(planes):
        s = np.float32(p.raw_scale / 255 * p.input_scale / p.std[c])
        m = np.float32(p.mean[c] * p.input_scale / p.std[c])
        out.append(plane.astype(np.float32) * s - m)
    return np.stack(out)[None]


@settings(deadline=None, max_examples=150)
@given(SIZES, SIZES, SIZES, SIZES, SIZES, SIZES, st.data())
def test_equals_the_description(
    ih: int, iw: int, h: int, w: int, rh: int, rw: int, data: st.DataObject
) -> None:
    p = make(
        (h, w),
        resize_dims=(rh, rw),
        keep_aspect_ratio=data.draw(st.booleans()),
        crop=data.draw(st.sampled_from(["center", "right"])),
        channel_order=data.draw(st.sampled_from(["rgb", "bgr"])),
        gray=data.draw(st.booleans()),
        mean=(104.0, 117.0, 123.0),
        std=(58.0, 57.0, 60.0),
        raw_scale=data.draw(st.sampled_from([255.0, 1.0])),
        input_scale=0.5,
    )
    shape = (ih, iw) if p.channels == 1 else (ih, iw, 3)
    image = np.random.default_rng(ih * 71 + iw).integers(0, 256, shape, np.uint8)
    found = load_image(image, p)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.shape == (1, p.channels, h, w)
    np.testing.assert_array_equal(found, described(image, p))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_real_files(shared: Path, preset: Any) -> None:
    for name in ("samples/cat.jpg", "samples/parade.jpg"):
        path = shared / "images" / name
        for resize in [(256, 256), None]:
            p = make((224, 192), resize_dims=resize, **preset.options)
            np.testing.assert_array_equal(load_image(path, p), described(cv2.imread(str(path)), p))
        p = make((60, 70), gray=True)
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(load_image(str(path), p), described(gray, p))


def test_the_colours_end_up_where_they_belong(tmp_path: Path) -> None:
    blue = np.zeros((4, 4, 3), np.uint8)
    blue[..., 0] = 200
    cv2.imwrite(str(tmp_path / "blue.png"), blue)
    bgr = load_image(tmp_path / "blue.png", make((2, 2)))
    rgb = load_image(tmp_path / "blue.png", make((2, 2), channel_order="rgb"))
    assert bgr[0, :, 0, 0].tolist() == [200, 0, 0]
    assert rgb[0, :, 0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_four_channels_are_red_green_blue_alpha(tmp_path: Path, channels: int, depth: type) -> None:
    unit = 1 if depth is np.uint8 else 257
    pixel = {1: [70], 3: [10, 20, 30], 4: [10, 20, 30, 40]}[channels]
    image = (np.full((5, 6, channels), pixel) * unit).astype(depth)
    cv2.imwrite(str(tmp_path / "x.png"), image)
    found = load_image(tmp_path / "x.png", make((3, 3), channels=4))
    expected = {1: [70, 70, 70, 255], 3: [30, 20, 10, 255], 4: [30, 20, 10, 40]}[channels]
    assert found[0, :, 1, 1].tolist() == expected


def test_load_resized_is_before_crop_and_scaling(shared: Path) -> None:
    path = shared / "images" / "samples" / "cat.jpg"
    p = make((32, 32), resize_dims=(40, 50), channel_order="rgb", mean=(9.0,))
    np.testing.assert_array_equal(
        load_resized(path, p), cv2.resize(cv2.imread(str(path)), (50, 40))
    )


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_images(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="is not an image of 3 channels"):
        load_image(image, make((2, 2)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".ppm", ".pgm", ".webp"])
def test_sizes_are_read_from_headers(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    path = tmp_path / f"x{suffix}"
    cv2.imwrite(str(path), image if suffix != ".pgm" else image[..., 0])
    assert image_size(path.read_bytes()) == (53, 37)


def huge_png() -> bytes:
    """A small PNG file of 30000 x 30000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_huge_images_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(huge_png())
    tracemalloc.start()
    with pytest.raises(InputError, match="30000x30000 pixels is too large") as caught:
        load_image(path, make((8, 8)))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert caught.value.where == str(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".ppm"])
def test_mutants_are_images_or_input_errors(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    path = tmp_path / f"x{suffix}"
    cv2.imwrite(str(path), image)
    whole = path.read_bytes()
    refused = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data = bytearray(whole[: rng.integers(1, len(whole))] if seed % 2 else whole)
        for at in rng.integers(0, min(len(data), 200 if seed % 3 else len(data)), 3):
            data[at] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            assert load_image(path, make((8, 8))).shape == (1, 3, 8, 8)
        except InputError as error:
            refused += 1
            assert error.where == str(path)
    assert refused > 0


def test_truncated_jpegs_are_refused(shared: Path, tmp_path: Path) -> None:
    data = (shared / "images" / "samples" / "cat.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="broken"):
        load_image(tmp_path / "half.jpg", make((8, 8)))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(100)])
def test_files_that_are_no_images(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(InputError, match="not an image"):
        load_image(tmp_path / "x.jpg", make((8, 8)))


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_image(tmp_path / "none.jpg", make((8, 8)))


def test_without_opencv_there_is_a_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cv2":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CviError, match=r"pip install 'cvi-core\[images\]'"):
        load_image(np.zeros((4, 4, 3), np.uint8), make((2, 2)))
