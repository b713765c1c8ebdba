"""Discovery and look-ups, with small fake plugins."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cvi import plugins
from cvi.errors import InputError, PluginError, UnsupportedError
from cvi.hookspecs import Command, hookimpl


class FakeChip:
    summary = "a chip"
    schemes = ("int8",)

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, graph: Any) -> list[str]:
        return []

    def compile(self, graph: Any, options: Any) -> bytes:
        return b""


class FakeFrontend:
    def __init__(self, name: str, magic: bytes) -> None:
        self.name, self._magic = name, magic

    def accepts(self, path: Path) -> bool:
        return path.read_bytes().startswith(self._magic)

    def load(self, path: Path, **options: Any) -> Any:
        raise NotImplementedError

    def reference(self, path: Path, inputs: Any, **options: Any) -> Any:
        raise NotImplementedError


class Chips:
    def __init__(self, *chips: Any) -> None:
        self._chips = chips

    @hookimpl
    def cvi_register_chips(self) -> list[Any]:
        return list(self._chips)


class Frontends:
    def __init__(self, *frontends: Any) -> None:
        self._frontends = frontends

    @hookimpl
    def cvi_register_frontends(self) -> list[Any]:
        return list(self._frontends)


class Failing:
    @hookimpl
    def cvi_register_chips(self) -> list[Any]:
        raise RuntimeError("libnothing.so is missing")


class Converters:
    def __init__(self, **converters: Any) -> None:
        self._converters = converters

    @hookimpl
    def cvi_register_converters(self, frontend: str) -> dict[str, Any]:
        return self._converters if frontend == "onnx" else {}


@pytest.fixture
def pm(monkeypatch: pytest.MonkeyPatch) -> Iterator[plugins.PluginManager]:
    """A manager with no plugins at all, in place of the real one."""
    manager = plugins.PluginManager()
    monkeypatch.setattr(plugins, "manager", lambda: manager)
    yield manager


def entry(name: str, value: str, distribution: str) -> Any:
    """An installed entry point of a distribution, version 1.2."""
    point = EntryPoint(name, value, "cvi")
    vars(point)["dist"] = SimpleNamespace(name=distribution, version="1.2")
    return point


def test_real_installation_is_found_and_built_ins_come_through_the_hooks() -> None:
    found = {plugin.distribution: plugin for plugin in plugins.installed()}
    assert "command convert" in found["cvi-core"].gives
    assert "ops" in found["cvi-core"].gives
    assert "runner simulator" in found["cvi-tpu-cv18xx"].gives


def test_look_up_by_name(pm: plugins.PluginManager) -> None:
    chip = FakeChip("cv183x")
    pm.register(Chips(chip))
    assert plugins.chip("cv183x") is chip
    assert plugins.chips() == {"cv183x": chip}


def test_missing_chip_that_is_offered_names_the_distribution(pm: plugins.PluginManager) -> None:
    with pytest.raises(PluginError) as caught:
        plugins.chip("cv182x")
    assert caught.value.fix == "pip install cvi-chip-cv182x"
    assert "installed: none" in caught.value.why


def test_misspelt_chip_lists_the_nearest(pm: plugins.PluginManager) -> None:
    pm.register(Chips(FakeChip("cv183x")))
    with pytest.raises(PluginError, match="did you mean cv183x") as caught:
        plugins.chip("cv183")
    assert caught.value.fix == "use cv183x"


def test_unknown_chip_of_a_third_party(pm: plugins.PluginManager) -> None:
    with pytest.raises(PluginError) as caught:
        plugins.chip("rocket")
    assert "cvi-chip-rocket" in caught.value.fix


@pytest.mark.parametrize(
    ("look_up", "name", "distribution"),
    [
        (plugins.runner, "vendor", "cvi-runner-vendor"),
        (plugins.runner, "simulator", "cvi-tpu-cv18xx"),
        (plugins.scheme, "bf16", "cvi-tpu-cv18xx"),
        (plugins.frontend, "tflite", "cvi-frontend-tflite"),
    ],
)
def test_missing_things_name_their_distribution(
    pm: plugins.PluginManager, look_up: Any, name: str, distribution: str
) -> None:
    with pytest.raises(PluginError) as caught:
        look_up(name)
    assert caught.value.fix == f"pip install {distribution}"


def test_clash_names_both_distributions(
    pm: plugins.PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"one": Chips(FakeChip("c1")), "two": Chips(FakeChip("c1"))}
    monkeypatch.setattr(EntryPoint, "load", lambda self: modules[self.value])
    for name in modules:
        pm._load(entry("chip", name, f"dist-{name}"))
    with pytest.raises(PluginError) as caught:
        plugins.chips()
    assert "dist-one 1.2" in caught.value.why
    assert "dist-two 1.2" in caught.value.why
    assert "pip uninstall dist-" in caught.value.fix


def test_two_distributions_may_use_the_same_entry_name(
    pm: plugins.PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"one": Chips(FakeChip("c1")), "two": Chips(FakeChip("c2"))}
    monkeypatch.setattr(EntryPoint, "load", lambda self: modules[self.value])
    for name in modules:
        pm._load(entry("chip", name, f"dist-{name}"))
    assert set(plugins.chips()) == {"c1", "c2"}
    assert not pm.broken


def test_plugin_that_cannot_be_imported_is_a_warning_until_asked_for(
    pm: plugins.PluginManager, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cvi"):
        pm._load(entry("chip", "no_such_module_at_all", "cvi-chip-cv182x"))
    (record,) = caplog.records
    assert "cvi-chip-cv182x 1.2" in record.getMessage()
    assert "pip install --upgrade --force-reinstall cvi-chip-cv182x" in record.getMessage()
    pm.register(Chips(FakeChip("cv183x")))
    assert plugins.chip("cv183x").name == "cv183x"
    with pytest.raises(PluginError, match="broken: ModuleNotFoundError") as caught:
        plugins.chip("cv182x")
    assert "force-reinstall cvi-chip-cv182x" in caught.value.fix


def test_hook_that_fails_breaks_only_its_plugin_and_warns_once(
    pm: plugins.PluginManager, caplog: pytest.LogCaptureFixture
) -> None:
    pm.register(Chips(FakeChip("cv183x")))
    pm.register(Failing(), name="bad")
    with caplog.at_level(logging.WARNING, "cvi"):
        assert list(plugins.chips()) == ["cv183x"]
        assert list(plugins.chips()) == ["cv183x"]
    assert len(caplog.records) == 1
    assert "libnothing.so" in pm.broken["bad"].problem


def test_object_that_lacks_a_method_breaks_its_plugin(pm: plugins.PluginManager) -> None:
    half = SimpleNamespace(name="half", summary="", schemes=(), check=lambda graph: [])
    pm.register(Chips(half), name="halfhearted")
    assert plugins.chips() == {}
    assert "lacks compile" in pm.broken["halfhearted"].problem


def test_installed_tells_what_each_gives_and_what_is_broken(pm: plugins.PluginManager) -> None:
    pm.register(Chips(FakeChip("cv183x")), name="good")
    pm.register(Failing(), name="bad")
    pm.register(Converters(Conv=1), name="parts")
    found = {plugin.name: plugin for plugin in plugins.installed()}
    assert found["good"].gives == ("chip cv183x",)
    assert found["good"].problem == ""
    assert "RuntimeError" in found["bad"].problem
    assert found["parts"].gives == ("converters",)


def test_converters_are_merged_and_may_not_clash(pm: plugins.PluginManager) -> None:
    pm.register(Converters(Conv=1), name="a")
    pm.register(Converters(Relu=2), name="b")
    assert plugins.converters("onnx") == {"Conv": 1, "Relu": 2}
    assert plugins.converters("caffe") == {}
    pm.register(Converters(Relu=3), name="c")
    with pytest.raises(PluginError, match="onnx converter 'Relu'"):
        plugins.converters("onnx")


def test_frontend_is_found_by_content(pm: plugins.PluginManager, tmp_path: Path) -> None:
    pm.register(Frontends(FakeFrontend("one", b"1"), FakeFrontend("two", b"2")))
    model = tmp_path / "model.bin"
    model.write_bytes(b"2...")
    assert plugins.frontend_for(model).name == "two"


def test_nobody_reads_the_file(pm: plugins.PluginManager, tmp_path: Path) -> None:
    pm.register(Frontends(FakeFrontend("one", b"1")))
    model = tmp_path / "model.bin"
    model.write_bytes(b"3...")
    with pytest.raises(UnsupportedError, match="installed: one") as caught:
        plugins.frontend_for(model)
    assert caught.value.where == str(model)


def test_suffix_tells_which_frontend_is_missing(pm: plugins.PluginManager, tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"....TFL3")
    with pytest.raises(PluginError) as caught:
        plugins.frontend_for(model)
    assert caught.value.fix == "pip install cvi-frontend-tflite"


def test_two_frontends_that_claim_a_file(pm: plugins.PluginManager, tmp_path: Path) -> None:
    pm.register(Frontends(FakeFrontend("one", b"x"), FakeFrontend("two", b"x")))
    model = tmp_path / "model.bin"
    model.write_bytes(b"x")
    with pytest.raises(PluginError, match=r"several frontends.*one.*two|two.*one") as caught:
        plugins.frontend_for(model)
    assert "--model-type" in caught.value.fix


def test_missing_model_file(pm: plugins.PluginManager, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        plugins.frontend_for(tmp_path / "none.onnx")


def test_frontend_whose_detection_crashes_is_passed_over(
    pm: plugins.PluginManager, tmp_path: Path
) -> None:
    class Crashing(FakeFrontend):
        def accepts(self, path: Path) -> bool:
            raise IndexError("boom")

    pm.register(Frontends(Crashing("bad", b""), FakeFrontend("good", b"x")))
    model = tmp_path / "model.bin"
    model.write_bytes(b"x")
    assert plugins.frontend_for(model).name == "good"
    assert any("boom" in plugin.problem for plugin in pm.broken.values())


def test_commands_come_from_plugins(pm: plugins.PluginManager) -> None:
    command = Command("hello", "Say hello", "nowhere:at_all")

    class Commands:
        @hookimpl
        def cvi_register_commands(self) -> list[Command]:
            return [command]

    pm.register(Commands())
    assert plugins.commands() == {"hello": command}


def test_real_manager_is_made_once() -> None:
    assert plugins.manager() is plugins.manager()
