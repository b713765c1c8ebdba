"""Reading .npz and .npy files that a user gives; nothing in them is executed."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from cvi.errors import InputError
from cvi.ir import Array

TENSOR_SUFFIXES = {".npz", ".npy"}
_MOST_BYTES = 1 << 33


def read_tensors(path: Path) -> dict[str, Array]:
    """The arrays of an .npz by name; of an .npy one, by the file's stem.

    InputError when the file is missing, broken, too large, or holds other than numbers.
    """
    try:
        arrays = _read(path)
    except FileNotFoundError:
        raise InputError("there is no such file", where=str(path), fix="check the path") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, OSError) as error:
        raise _broken(path, str(error)) from None
    except (NotImplementedError, RuntimeError, SyntaxError, MemoryError) as error:
        raise _broken(path, str(error)) from None
    if not arrays:
        raise _broken(path, "it holds no arrays")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise _broken(path, f"{name} is not an array of numbers")
    return arrays


def _read(path: Path) -> dict[str, Array]:
    if path.suffix.lower() == ".npy":
        return {path.stem: np.load(path, allow_pickle=False)}
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
            raise ValueError("it unpacks to more than 8 GB")
    with np.load(path, allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}


def _broken(path: Path, why: str) -> InputError:
    return InputError(
        f"cannot be read as tensors: {why}",
        where=str(path),
        fix="save arrays of numbers with numpy.savez",
    )
