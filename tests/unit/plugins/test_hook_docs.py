"""The hook specs, their documentation and the look-ups tell the same story."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cvi import builtin, hookspecs, plugins

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "plugins.md").read_text()
HOOKS = {name: f for name, f in vars(hookspecs).items() if name.startswith("cvi_register_")}


def test_every_hook_is_documented_with_its_exact_arguments() -> None:
    documented = dict(re.findall(r"^### `(cvi_register_\w+)\(([^)]*)\)`$", PAGE, re.MULTILINE))
    specified = {n: ", ".join(inspect.signature(f).parameters) for n, f in HOOKS.items()}
    assert documented == specified


def test_hooks_are_documented_in_the_order_of_the_spec() -> None:
    assert re.findall(r"^### `(\w+)", PAGE, re.MULTILINE) == list(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_what_it_is_for(hook: str) -> None:
    assert inspect.getdoc(HOOKS[hook])


def test_every_hook_has_a_look_up() -> None:
    kinds = {name.removeprefix("cvi_register_") for name in HOOKS}
    assert kinds == {f"{kind}s" for kind in plugins._NAMED_HOOKS} | set(plugins._PARTS)
    for kind in kinds - {"ops"}:
        assert f"`{kind}(" in PAGE
        assert callable(getattr(plugins, kind))


def test_protocols_are_documented() -> None:
    for protocol in plugins._NAMED_HOOKS.values():
        assert f"`{protocol.__name__}" in PAGE
        assert inspect.getdoc(protocol)


def test_no_plugin_in_this_workspace_has_an_unknown_hook() -> None:
    for plugin in plugins.manager().get_plugins():
        hooks = [name for name in dir(plugin) if name.startswith("cvi_register_")]
        assert set(hooks) <= set(HOOKS), plugin


def test_entry_modules_only_declare() -> None:
    """None of them may import something heavy, for they are all imported by `cvi --help`."""
    code = (
        "import sys; from cvi import plugins; plugins.commands(); print([m for m in "
        "('numpy', 'typer', 'rich', 'onnx', 'onnxruntime', 'cv2') if m in sys.modules], "
        "len(plugins.manager().broken))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[] 0\n"


def test_built_in_commands_have_distinct_names_and_one_line_of_help() -> None:
    names = [command.name for command in builtin.COMMANDS]
    assert len(set(names)) == len(names)
    for command in builtin.COMMANDS:
        assert "\n" not in command.help
        assert len(command.help) < 60
