"""Output files that appear whole or not at all, and folders for files in between."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from cvi.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A temporary binary file in the same folder, which becomes `path` on success.

    Its data are on the disk (fsync) before the rename; whatever goes wrong, Ctrl-C
    included, it is removed and `path` is as before. InputError when the place cannot
    be written to or the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError("is a folder, not a file", where=str(target), fix="give a file name")
    name = ""
    try:
        with signals_held():
            try:
                handle, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", dir=target.parent)
            except OSError as error:
                raise _cannot_write(target, error) from error
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(Path(name), target)
    except OSError as error:
        _remove(name)
        if error.errno in _FULL:
            raise _cannot_write(target, error) from error
        raise
    except BaseException:
        _remove(name)
        raise


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic_write(path) as file:
        file.write(data)


@contextlib.contextmanager
def scratch_folder(prefix: str = "cvi-", parent: Path | None = None) -> Iterator[Path]:
    """A folder that is gone after the block, also when Ctrl-C comes while it is made or removed.

    parent: the folder to make it in; by default the system's for temporary files.
    """
    with signals_held():
        made = tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
    try:
        yield Path(made.name)
    finally:
        with signals_held():
            made.cleanup()


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """SIGINT and SIGTERM that come in the block strike at its end.

    For steps that must not be left half done, such as making a file and noting its name.
    Only the main thread gets signals; in others there is nothing to hold.
    """
    came: list[int] = []
    before = {int(n): signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    try:
        with contextlib.suppress(ValueError):  # not the main thread
            for number in before:
                signal.signal(number, note)
        yield
    finally:
        with contextlib.suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _publish(temporary: Path, target: Path) -> None:
    """Give the file the usual permissions and its name."""
    umask = os.umask(0)
    os.umask(umask)
    try:
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, where the system can (POSIX)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(name: str) -> None:
    if name:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def _cannot_write(target: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be written: {error.strerror or error}",
        where=str(target),
        fix="choose a folder that exists, is writable and has room",
    )
