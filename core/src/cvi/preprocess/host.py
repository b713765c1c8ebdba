"""Preprocessing on the host: an image to the float network's input.

The steps and their rounding are those of FACTS_TOOLCHAIN 2.1, with two corrections of
the reference: the crop method is honoured, and four channels are always R, G, B, A.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cvi.errors import CviError, InputError
from cvi.ir.types import Array
from cvi.preprocess.header import image_size, is_cut_off
from cvi.preprocess.spec import Preprocess

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PIXELS = 1 << 26
_MAX_FILE = 1 << 28
_FORMATS = "give a sound JPEG, PNG, BMP, PNM, WebP or GIF file"


def load_image(source: str | Path | Array, preprocess: Preprocess) -> Array:
    """The network input fp32[1, c, h, w] for an image file or a decoded image.

    source: a file, or uint8[h, w, 3] in BGR order ([h, w] for gray, [h, w, 4] in RGBA
    order). y = x * scale - bias in fp32, each operation rounded.
    InputError names a file that is no image, is broken, or has over 64 Mpixel.
    """
    pixels = _cropped(load_resized(source, preprocess), preprocess)
    if preprocess.channel_order == "rgb" and preprocess.channels == 3:
        pixels = pixels[..., ::-1]
    scale, bias = preprocess.coefficients()
    values = pixels.astype(np.float32) * np.asarray(scale, np.float32)
    values -= np.asarray(bias, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def load_resized(source: str | Path | Array, preprocess: Preprocess) -> Array:
    """The image at resize_dims before crop and scaling: uint8[h, w, c], BGR, gray or RGBA."""
    image = (
        _checked(source, preprocess)
        if isinstance(source, np.ndarray)
        else (_decoded(Path(source), preprocess.channels))
    )
    height, width = preprocess.resize_dims
    if not preprocess.keep_aspect_ratio:
        return _resized(image, height, width)
    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    inner_h, inner_w = max(int(rows * scale), 1), max(int(columns * scale), 1)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    canvas = np.zeros((height, width, image.shape[2]), np.uint8)
    canvas[top : top + inner_h, left : left + inner_w] = _resized(image, inner_h, inner_w)
    return canvas


def _resized(image: Array, height: int, width: int) -> Array:
    cv2 = _cv2()
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return cast(Array, resized.reshape(height, width, image.shape[2]))


def _cropped(image: Array, preprocess: Preprocess) -> Array:
    (rows, columns), (h, w) = image.shape[:2], preprocess.net_input_dims
    if preprocess.crop == "right":
        return image[rows - h :, columns - w :]
    top, left = rows // 2 - h // 2, columns // 2 - w // 2
    return image[top : top + h, left : left + w]


def _checked(image: Array, preprocess: Preprocess) -> Array:
    """An array given as an image, as uint8[h, w, c]."""
    if image.ndim == 2 and preprocess.channels == 1:
        image = image[..., None]
    good = image.ndim == 3 and image.shape[2] == preprocess.channels and image.size
    if image.dtype != np.uint8 or not good:
        raise InputError(
            f"an array {image.dtype}{list(image.shape)} is not an image of "
            f"{preprocess.channels} channels",
            fix=f"give uint8[height, width, {preprocess.channels}]; float tensors go in .npz files",
        )
    return np.ascontiguousarray(image)


def _decoded(path: Path, channels: int) -> Array:
    """uint8[h, w, channels] of a file: gray, BGR or RGBA."""
    data = _bytes_of(path)
    size = image_size(data)
    if size is None:
        raise InputError("not an image that we can read", where=str(path), fix=_FORMATS)
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(
            f"an image of {size[0]}x{size[1]} pixels is too large",
            where=str(path),
            fix=f"scale it down; at most {MAX_PIXELS // 1_000_000} million pixels are decoded",
        )
    cv2 = _cv2()
    flags = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR, 4: cv2.IMREAD_UNCHANGED}
    image = _quietly(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), flags[channels]))
    if image is None or image.size == 0 or is_cut_off(data):
        raise InputError("the image is broken", where=str(path), fix=_FORMATS)
    return _rgba(image) if channels == 4 else image.reshape(*image.shape[:2], channels)


def _rgba(image: Array) -> Array:
    """uint8 RGBA of what a file holds: gray, BGR or BGRA of 8 or 16 bits; opaque by default."""
    cv2 = _cv2()
    if image.dtype != np.uint8:
        image = (
            (image >> 8).astype(np.uint8)
            if image.dtype == np.uint16
            else (image.clip(0, 255).astype(np.uint8))
        )
    kinds = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    return cast(Array, cv2.cvtColor(image, kinds[1 if image.ndim == 2 else image.shape[2]]))


def _quietly(decode: Callable[[], Any]) -> Array | None:
    """The decoder's result, None when it fails; its complaints are not printed."""
    cv2 = _cv2()
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        return cast("Array | None", decode())
    except (cv2.error, MemoryError):
        return None
    finally:
        log.setLogLevel(level)


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE:
            raise InputError("too large for an image file", where=str(path), fix=_FORMATS)
        return path.read_bytes()
    except OSError as error:
        why = f"cannot read the image: {error.strerror or error}"
        raise InputError(why, where=str(path), fix="check the path and its permissions") from None


def _cv2() -> Any:
    try:
        import cv2
    except ImportError:
        raise CviError(
            "images need OpenCV, which is not installed",
            fix="pip install 'cvi-core[images]', or give tensors as .npz files",
        ) from None
    return cv2
