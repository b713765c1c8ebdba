"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import tempfile
import threading

import pytest

from cvi.errors import InputError
from cvi.files import atomic_write, atomic_write_bytes, scratch_folder, signals_held


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "x"
    atomic_write_bytes(path, b"one")
    atomic_write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_visible_before_the_end(tmp_path):
    with atomic_write(tmp_path / "x") as file:
        file.write(b"abc")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_bytes() == b"abc"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, OSError])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, failure):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(failure), atomic_write(path) as file:
        file.write(b"half of the new")
        raise failure
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_as_such(tmp_path):
    with pytest.raises(InputError, match="has room"), atomic_write(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        atomic_write_bytes(tmp_path, b"")
    with pytest.raises(InputError, match="cannot be written") as error:
        atomic_write_bytes(tmp_path / "no" / "x", b"")
    assert error.value.where == str(tmp_path / "no" / "x")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        atomic_write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def strikes(monkeypatch, name):
    """Ctrl-C comes while this function of `os` works the first time, and strikes after it."""
    real = getattr(os, name)

    def struck(*arguments, **more):
        monkeypatch.setattr(os, name, real)
        result = real(*arguments, **more)
        signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(os, name, struck)


@pytest.fixture
def heeds_interrupts():
    """SIGINT raises KeyboardInterrupt even where the tests were started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("function", ["mkdir", "open", "unlink", "rmdir"])
def test_an_interrupt_leaves_no_scratch_folder(tmp_path, monkeypatch, function):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # found anew, by writing a file there
    strikes(monkeypatch, function)
    with pytest.raises(KeyboardInterrupt), scratch_folder() as folder:
        (folder / "file").write_bytes(b"")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("heeds_interrupts")
def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    strikes(monkeypatch, "open")
    with pytest.raises(KeyboardInterrupt):
        atomic_write_bytes(tmp_path / "x", b"data")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("heeds_interrupts")
def test_held_signals_strike_at_the_end():
    done = []
    with pytest.raises(KeyboardInterrupt), signals_held():
        signal.raise_signal(signal.SIGINT)
        done.append("the block")
    assert done == ["the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_hold_nothing(tmp_path):
    made = []

    def work():
        with scratch_folder(parent=tmp_path) as folder:
            made.append(folder.is_dir())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert made == [True] and not list(tmp_path.iterdir())
