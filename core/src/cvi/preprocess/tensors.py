"""Tensors from .npz and .npy files; nothing in a file is executed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from cvi.errors import InputError
from cvi.ir.types import Array

TENSOR_SUFFIXES = (".npz", ".npy")
_MAX_BYTES = 1 << 32


def load_tensors(path: str | Path) -> dict[str, Array]:
    """The arrays of an .npz by name, or the one of an .npy under the name "".

    Numeric arrays only. InputError names a file that is broken, holds Python objects,
    or unpacks to over 4 GiB.
    """
    path = Path(path)
    try:
        arrays = _npz(path) if zipfile.is_zipfile(path) else {"": _npy(path)}
    except OSError as error:
        why = f"cannot read the tensors: {error.strerror or error}"
        raise InputError(why, where=str(path), fix="check the path and the file") from None
    except Exception as error:  # numpy's readers raise anything at broken bytes
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"not a sound .npz or .npy file: {reason}",
            where=str(path),
            fix="write it with numpy.savez or numpy.save, numeric arrays only",
        ) from None
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"tensor {name!r} has the type {array.dtype}",
                where=str(path),
                fix="store numbers, e.g. float32",
            )
    return arrays


def _npy(path: Path) -> Array:
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _npz(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
            raise ValueError("it unpacks to more than 4 GiB")
    with np.load(path, allow_pickle=False) as archive:
        return {name: _array(archive[name]) for name in archive.files}


def _array(member: object) -> Array:
    if not isinstance(member, np.ndarray):
        raise ValueError("a member is not an array")
    return member
