"""A conversion that is stopped, or cannot write, leaves nothing half done behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cvi.cli import main
from cvi.flow.progress import Silent
from processes import interruptible

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
OPTIONS = ["--chip", "cv183x", "--gray", "--input-scale", str(1 / 255)]
PREVIOUS = b"the complete file of an earlier conversion"
RUNS = 15


def convert_words(output: Path, *more: str, dataset: Path = DIGITS / "calibration") -> list[str]:
    words = ["convert", str(DIGITS / "digits.onnx"), *OPTIONS, "--dataset", str(dataset)]
    return [*words, "-o", str(output), *more]


def started(words: list[str], temporary: Path) -> subprocess.Popen[str]:
    """The command in a process of its own, its temporary files in a folder of its own."""
    code = "import sys; from cvi.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=interruptible,
    )


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    """What a conversion that is not stopped writes, and how long it takes here and now."""
    folder = tmp_path_factory.mktemp("complete")
    start = time.monotonic()
    with started(convert_words(folder / "x.cvimodel"), folder) as running:
        assert running.stderr
        shown = running.stderr.read()
    assert running.returncode == 0, shown
    assert [path.name for path in folder.iterdir()] == ["x.cvimodel"]
    return (folder / "x.cvimodel").read_bytes(), time.monotonic() - start


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder for the output, and one for temporary files."""
    output, temporary = tmp_path / "output", tmp_path / "temporary"
    output.mkdir()
    temporary.mkdir()
    return output, temporary


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RUNS))
def test_stopped_at_any_moment(
    seed: int, folders: tuple[Path, Path], complete: tuple[bytes, float]
) -> None:
    """The output is as before or whole, and a stopped command does not say it succeeded."""
    output, temporary = folders
    whole, seconds = complete
    rng = random.Random(seed)
    target = output / "x.cvimodel"
    before = PREVIOUS if seed % 2 else None
    if before:
        target.write_bytes(before)
    number = rng.choice([signal.SIGINT, signal.SIGTERM])
    with started(convert_words(target), temporary) as running:
        assert running.stderr
        first = running.stderr.readline()  # Python's own start is not ours to guard
        time.sleep(rng.random() * seconds * 0.8)
        running.send_signal(number)
        rest = first + running.stderr.read()
    assert "Traceback" not in rest
    found = target.read_bytes() if target.exists() else None
    if running.returncode in (0, -number):  # it was done before the signal came
        assert found == whole
    else:
        assert running.returncode == (130 if number == signal.SIGINT else 143), rest
        assert found in (before, whole)
    assert [path.name for path in output.iterdir()] == (["x.cvimodel"] if found else [])
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_writes(number: signal.Signals, folders: tuple[Path, Path]) -> None:
    """The signal comes in the worst moment: the temporary file is there, not yet renamed."""
    output, temporary = folders
    target = output / "x.cvimodel"
    target.write_bytes(PREVIOUS)
    code = f"""
import os, sys
from cvi.cli import main

def stopped_sync(handle):
    os.kill(os.getpid(), {int(number)})

os.fsync = stopped_sync
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *convert_words(target, "--no-verify")],
        env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=interruptible,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == (130 if number == signal.SIGINT else 143), done.stderr
    assert "Traceback" not in done.stderr
    assert target.read_bytes() == PREVIOUS
    assert [path.name for path in output.iterdir()] == ["x.cvimodel"]
    assert not list(temporary.iterdir())


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A data set of three images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted((DIGITS / "calibration").iterdir())[:3]:
        shutil.copy(path, folder)
    return folder


def one_error(capsys: pytest.CaptureFixture[str], *names: str) -> None:
    """Stderr ends with a single error that names these."""
    shown = capsys.readouterr().err
    errors = [line for line in shown.splitlines() if line.startswith("error")]
    assert len(errors) == 1, shown
    assert all(name in shown for name in names), shown
    assert "internal" not in shown and "Traceback" not in shown


def test_failed_verification_writes_nothing(
    tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    target = output / "x.cvimodel"
    target.write_bytes(PREVIOUS)
    words = convert_words(target, "--quant-tolerance", "1,1,1", dataset=quick)
    assert main(words) == 3
    one_error(capsys, "verify-quantised")
    assert target.read_bytes() == PREVIOUS
    assert [path.name for path in output.iterdir()] == ["x.cvimodel"]


def test_missing_folder(tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "nowhere" / "x.cvimodel"
    assert main(convert_words(target, dataset=quick)) in (1, 2)
    one_error(capsys, "nowhere")
    assert not target.parent.exists()


class Removes(Silent):
    """Progress that takes the output folder away when the last stage begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stage(self, name: str, title: str) -> None:
        if name == "write":
            shutil.rmtree(self.folder)


def test_vanishing_folder(tmp_path: Path, quick: Path) -> None:
    import cvi
    from cvi.errors import InputError

    output = tmp_path / "output"
    output.mkdir()
    with pytest.raises(InputError, match="cannot be written") as caught:
        cvi.convert(
            DIGITS / "digits.onnx",
            output / "x.cvimodel",
            chip="cv183x",
            image_options=cvi.ImageOptions(gray=True, input_scale=1 / 255),
            dataset=quick,
            verify=False,
            progress=Removes(output),
        )
    assert caught.value.where.startswith("write") and caught.value.fix
    assert not output.exists()


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv to be without privileges")
@pytest.mark.skipif(os.getuid() != 0, reason="only root must drop privileges for this")
def test_read_only_folder_for_root(tmp_path: Path, quick: Path) -> None:
    """Root may write anywhere, so the command runs without root's capabilities."""
    output = tmp_path / "output"
    output.mkdir()
    output.chmod(0o555)
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    code = "import sys; from cvi.cli import main; sys.exit(main())"
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code, *convert_words(output / "x.cvimodel", dataset=quick)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (1, 2), done.stderr
    assert "not writable" in done.stderr
    assert not list(output.iterdir())


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "output"
    output.mkdir()
    output.chmod(0o555)
    assert main(convert_words(output / "x.cvimodel", dataset=quick)) in (1, 2)
    one_error(capsys, "not writable")
    assert not list(output.iterdir())


def test_full_disk(
    tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    output = tmp_path / "output"
    output.mkdir()
    monkeypatch.setattr(os, "fsync", full)
    words = convert_words(output / "x.cvimodel", "--no-verify", dataset=quick)
    assert main(words) in (1, 2)
    one_error(capsys, "No space left")
    assert not list(output.iterdir())
