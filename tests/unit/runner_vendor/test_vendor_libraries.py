"""Getting the vendor's libraries and finding them again. Nothing is downloaded here."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cvi.errors import InputError, RunnerError
from cvi_runner_vendor import libraries
from cvi_runner_vendor.commands import app


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with three files, whose digests are the expected ones."""
    contents = {name: f"library {name}".encode() for name in libraries.SHA256}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    monkeypatch.setattr(libraries, "SHA256", digests)
    path = tmp_path / "vendor.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(f"tpu_mlir/lib/{name}", data)
        archive.writestr("tpu_mlir/lib/other.so", b"not needed")
    return path


def test_install_keeps_the_three_libraries(wheel: Path, tmp_path: Path) -> None:
    folder = libraries.install(tmp_path / "a" / "b", wheel=wheel)
    assert sorted(p.name for p in folder.iterdir()) == sorted(libraries.SHA256)
    assert libraries.find(folder) == folder.resolve()


def test_install_replaces_damaged_files(wheel: Path, tmp_path: Path) -> None:
    folder = libraries.install(tmp_path / "v", wheel=wheel)
    damaged = folder / "libcvikernel.so"
    damaged.write_bytes(b"broken")
    libraries.install(folder, wheel=wheel)
    assert damaged.read_bytes() == b"library libcvikernel.so"


def test_a_wrong_digest_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    libraries.SHA256["libcvicmodel.so"] = "0" * 64
    with pytest.raises(InputError, match="SHA-256"):
        libraries.install(tmp_path / "v", wheel=wheel)
    assert list((tmp_path / "v").iterdir()) == []


def test_other_files_are_no_wheels(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"text")
    with pytest.raises(InputError, match="not a wheel"):
        libraries.install(tmp_path / "v", wheel=tmp_path / "x.whl")
    with zipfile.ZipFile(tmp_path / "y.whl", "w") as archive:
        archive.writestr("a", b"")
    with pytest.raises(InputError, match="not in the wheel"):
        libraries.install(tmp_path / "v", wheel=tmp_path / "y.whl")


def test_a_failed_download_shows_what_pip_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RunnerError, match="no network"):
        libraries.install(tmp_path / "v")
    assert commands[0][1:4] == ["-m", "pip", "download"]
    assert commands[0][-1] == libraries.WHEEL
    assert not any("://" in word for word in commands[0])


def test_folder_by_option_environment_and_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVI_VENDOR_LIB", "/from/environment")
    assert libraries.library_folder(tmp_path) == tmp_path
    assert libraries.library_folder() == Path("/from/environment")
    monkeypatch.delenv("CVI_VENDOR_LIB")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert libraries.library_folder() == tmp_path / "cvi" / "vendor"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert libraries.library_folder() == Path.home() / ".local" / "share" / "cvi" / "vendor"


def test_missing_libraries_tell_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="cvi vendor install") as caught:
        libraries.find(tmp_path)
    assert "libcviruntime.so" in caught.value.why


def test_commands(wheel: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "v")
    absent = CliRunner().invoke(app, ["status", "--dir", folder])
    assert absent.exit_code == 1
    assert absent.output.count("missing") == 3
    done = CliRunner().invoke(app, ["install", "--dir", folder, "--wheel", str(wheel)])
    assert done.exit_code == 0, done.output
    (tmp_path / "v" / "libcvikernel.so").write_bytes(b"another")
    status = CliRunner().invoke(app, ["status", "--dir", folder])
    assert status.exit_code == 0
    assert status.output.count(": ok") == 2
    assert "another build" in status.output
