"""Fixtures: a world of fake plugins, and the files of a small model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_chip import SHAPE, World

from cvi import builtin, plugins


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Only the fakes and the built-ins are installed."""
    manager = plugins.PluginManager()
    manager.register(builtin, name="builtin")
    world = World()
    manager.register(world, name="fakes")
    monkeypatch.setattr(plugins, "manager", lambda: manager)
    return world


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory with `net.fake`, `x.npz` and a folder `data` of tensors."""
    random = np.random.default_rng(1)
    (tmp_path / "net.fake").write_bytes(b"fake")
    np.savez(tmp_path / "x.npz", x=random.standard_normal(SHAPE).astype("f4"))
    (tmp_path / "data").mkdir()
    for i in range(3):
        np.save(tmp_path / "data" / f"{i}.npy", random.standard_normal(SHAPE).astype("f4"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
