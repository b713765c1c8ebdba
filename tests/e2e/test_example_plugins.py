"""The distributions of examples/plugins, installed as a third party's, at work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from example_model import save_model, save_samples

from vendor_here import VENDOR, needs_vendor

pytest.importorskip("hatchling")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "plugins"
NAMES = ("acme-op", "acme-cpu-op", "acme-chip")
COMPILER = shutil.which("g++") is not None
CHILD = Path(__file__).with_name("example_plugins_child.py")


def environment(site: Path | None, **changes: str) -> dict[str, str]:
    """The variables of a process that also finds what is installed in `site`."""
    folders = [str(site)] if site else []
    folders += filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **changes}


def install(folder: Path, *names: str, **changes: str) -> Path:
    """Build distributions from a copy and install them into a folder of their own."""
    sources = folder / "sources"
    shutil.copytree(EXAMPLES, sources, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
               "--no-build-isolation", "--disable-pip-version-check", "--target",
               str(folder / "site"), *(str(sources / name) for name in names)]  # fmt: skip
    subprocess.run(command, check=True, timeout=300, env=environment(None, **changes))
    return folder / "site"


def cvi(site: Path | None, cwd: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with the plugins in `site`."""
    code = "import sys; from cvi.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=environment(site), capture_output=True, text=True, timeout=300
    )


def converted(site: Path, folder: Path, chip: str) -> str:
    """Convert the model into <chip>.cvimodel; returns what the command prints."""
    done = cvi(
        site, folder, "convert", "net.onnx", "--chip", chip, "--dataset", "samples",
        "-o", f"{chip}.cvimodel", "--work-dir", f"work-{chip}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("acme"), *NAMES)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    save_model(tmp_path / "net.onnx")
    save_samples(tmp_path / "samples", 4)
    return tmp_path


def test_they_are_listed(site: Path, here: Path) -> None:
    listed = cvi(site, here, "plugins").stdout.splitlines()
    found = {words[0]: words[1:4] for words in map(str.split, listed) if words}
    for name in NAMES:
        assert found[name][:2] == ["1.0.0", "ok"]
    assert found["acme-chip"][2] == "chip"


def test_without_them_the_ops_are_named(here: Path) -> None:
    done = cvi(None, here, "convert", "net.onnx", "--chip", "cv183x", "--dataset", "samples",
               "-o", "net.cvimodel")  # fmt: skip
    assert done.returncode != 0
    assert "acme.Blend 'y': the op is not supported" in done.stderr
    assert "acme.UnitMax 'u'" in done.stderr
    assert "`cvi plugins`" in done.stderr
    assert not (here / "net.cvimodel").exists()


@pytest.mark.parametrize("chip", ["cv183x", "acme1"])
def test_conversion(site: Path, here: Path, chip: str) -> None:
    """Every stage runs; only the two ops themselves are not compared with onnxruntime."""
    shown = converted(site, here, chip)
    assert "not compared: y_Blend, u_UnitMax\n" in shown
    rows = (here / f"work-{chip}" / "net_verify-float.csv").read_text().splitlines()
    compared = {row.split(",")[0] for row in rows if "passed" in row}
    assert compared == {"x", "a_Conv", "b_Conv", "c_Conv", "m_Sigmoid", "z_Conv"}

    sample = ("--input", "samples/3.npz", "--all-tensors", "-o")
    assert cvi(site, here, "run", f"{chip}.cvimodel", *sample, "machine.npz").returncode == 0
    graph = f"work-{chip}/net_int8.cvi.json"
    assert cvi(site, here, "run", graph, *sample, "graph.npz").returncode == 0
    same(here / "machine.npz", here / "graph.npz")
    with np.load(here / "machine.npz") as machine:
        assert "y_Blend" not in machine.files, "it is computed together with its neighbours"


def same(path: Path, other: Path) -> None:
    """All tensors of the first file are in the second one, byte for byte."""
    with np.load(path) as ours, np.load(other) as theirs:
        assert {"u_UnitMax", "z_Conv"} <= set(ours.files) <= set(theirs.files)
        for name in ours.files:
            assert ours[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(ours[name].ravel(), theirs[name].ravel(), name)


@needs_vendor
@pytest.mark.vendor
@pytest.mark.skipif(not COMPILER, reason="there is no g++")
def test_the_vendor_runs_the_library_in_the_file(site: Path, here: Path) -> None:
    converted(site, here, "cv183x")
    assert "libacme_x86.so" in cvi(site, here, "model", "dump", "cv183x.cvimodel").stdout
    run = ("run", "cv183x.cvimodel", "--input", "samples/3.npz", "--all-tensors", "-o")
    assert cvi(site, here, *run, "ours.npz").returncode == 0
    done = cvi(None, here, *run, "theirs.npz", "--runner", "vendor")
    assert done.returncode == 0, done.stderr
    same(here / "ours.npz", here / "theirs.npz")


def test_without_a_compiler_there_is_no_library(here: Path) -> None:
    """The simulator has the function from the plugin, so everything else is as before."""
    site = install(here / "acme", "acme-op", "acme-cpu-op", PATH="")
    assert not list(site.rglob("*.so"))
    converted(site, here, "cv183x")
    assert "x86" not in cvi(site, here, "model", "dump", "cv183x.cvimodel").stdout


def test_what_a_chip_cannot_do_is_told_beforehand(site: Path, here: Path) -> None:
    done = cvi(site, here, "check", "net.onnx", "--chip", "cv180x")
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "u_UnitMax (AcmeUnitMax): the chip's runtime has no CPU functions" in told


def test_kernel_and_chip_on_random_programs(site: Path) -> None:
    """Blends of all shapes against their integer meaning, and networks on the acme1."""
    command = [sys.executable, str(CHILD), "vendor" if VENDOR else "simulator"]
    done = subprocess.run(
        command, env=environment(site), capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "12 blends, 8 networks\n", done.stderr
