"""The installed plugins: discovery, typed look-ups, and messages when one is missing.

A plugin is an entry point of the group "cvi". The entry modules are imported at the
first look-up; what stands behind them is imported when it is used. A broken plugin is
a warning, and an error only when it is the one asked for.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pluggy

from cvi import hookspecs
from cvi.errors import CviError, InputError, PluginError, UnsupportedError
from cvi.hookspecs import GROUP, Chip, Command, Executor, Frontend, Runner, Scheme

T = TypeVar("T")

_NAMED_HOOKS: Mapping[str, type] = {
    "frontend": Frontend,
    "executor": Executor,
    "scheme": Scheme,
    "chip": Chip,
    "runner": Runner,
    "command": Command,
}
"""What a hook `cvi_register_<kind>s` returns a sequence of."""

_PARTS = ("ops", "converters", "quantizers", "kernels")
"""Hooks whose results extend another plugin's work and have no names of their own."""

_SUFFIX_FRONTENDS = {
    ".onnx": "onnx",
    ".prototxt": "caffe",
    ".caffemodel": "caffe",
    ".tflite": "tflite",
    ".keras": "tflite",
    ".h5": "tflite",
    ".pb": "tflite",
}

_OFFERED: Mapping[str, Mapping[str, str]] = {
    "frontend": {n: f"cvi-frontend-{n}" for n in ("onnx", "caffe", "tflite")},
    "executor": {"onnxruntime": "cvi-frontend-onnx"},
    "scheme": dict.fromkeys(("int8", "bf16", "mix_bf16", "mixed"), "cvi-tpu-cv18xx"),
    "chip": {n: f"cvi-chip-{n}" for n in ("cv183x", "cv182x", "cv181x", "cv180x")},
    "runner": {"simulator": "cvi-tpu-cv18xx", "vendor": "cvi-runner-vendor"},
}
"""Kind -> name -> our distribution that gives it, for the messages about missing ones."""


@dataclass(frozen=True)
class Plugin:
    """One installed plugin, whether it works or not.

    gives: what it registers, e.g. ("chip cv183x", "runner simulator").
    problem: why it cannot be used, "" when it can.
    """

    name: str
    distribution: str
    version: str
    gives: tuple[str, ...] = ()
    problem: str = ""

    @property
    def label(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @property
    def mend(self) -> str:
        """The command line that mends the installation."""
        return f"pip install --upgrade --force-reinstall {self.distribution}"


class PluginManager(pluggy.PluginManager):
    """pluggy's manager, which also knows who registered what and what is broken."""

    def __init__(self) -> None:
        super().__init__(GROUP)
        self.add_hookspecs(hookspecs)
        self.broken: dict[str, Plugin] = {}
        self._known: dict[str, Plugin] = {}

    def discover(self) -> None:
        """Register what core brings, then every entry point; failures are kept in `broken`."""
        from cvi import __version__, builtin

        core = Plugin("cvi-core:builtin", "cvi-core", __version__)
        self._known[core.name] = core
        self.register(builtin, name=core.name)
        for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
            self._load(entry)

    def _load(self, entry: EntryPoint) -> None:
        dist = entry.dist
        about = Plugin(
            name=f"{dist.name}:{entry.name}" if dist else entry.name,
            distribution=dist.name if dist else entry.module,
            version=dist.version if dist else "",
        )
        self._known[about.name] = about
        try:
            self.register(entry.load(), name=about.name)
        except Exception as error:
            self.mark_broken(about, error)

    def about(self, plugin: object) -> Plugin:
        """Which distribution a registered plugin belongs to."""
        name = self.get_name(plugin) or repr(plugin)
        return self._known.get(name) or Plugin(name, distribution=name, version="")

    def mark_broken(self, about: Plugin, error: BaseException) -> None:
        """Warn, once, that a plugin cannot be used."""
        if about.name in self.broken:
            return
        import logging

        problem = f"{type(error).__name__}: {error}"
        self.broken[about.name] = Plugin(
            about.name, about.distribution, about.version, about.gives, problem
        )
        logging.getLogger("cvi").warning(
            "plugin %s cannot be used: %s (%s)", about.label, problem, about.mend
        )

    def results(self, hook: str, **arguments: str) -> Iterator[tuple[Plugin, Any]]:
        """What each plugin returns for a hook, in pluggy's order; failures are skipped."""
        for impl in reversed(getattr(self.hook, hook).get_hookimpls()):
            about = self.about(impl.plugin)
            others = [p for p in self.get_plugins() if p is not impl.plugin]
            try:
                for result in self.subset_hook_caller(hook, others)(**arguments):
                    yield about, result
            except Exception as error:
                self.mark_broken(about, error)


@functools.cache
def manager() -> PluginManager:
    """The plugin manager with every installed plugin registered."""
    pm = PluginManager()
    pm.discover()
    return pm


# -- look-ups ---------------------------------------------------------------


def frontends() -> dict[str, Frontend]:
    """Readers of model files by name."""
    return _by_name("frontend")


def frontend(name: str) -> Frontend:
    """The frontend of that name; PluginError when there is none."""
    return frontends().get(name) or _missing("frontend", name, frontends())


def frontend_for(path: Path) -> Frontend:
    """The frontend that accepts the content of a file.

    InputError when there is no such file, UnsupportedError when nobody reads it,
    PluginError when the plugin for its suffix is not installed or broken.
    """
    if not path.exists():
        raise InputError("there is no such file", where=str(path), fix="check the path")
    known = frontends()
    accepting = [f for f in known.values() if _accepts(f, path)]
    if len(accepting) == 1:
        return accepting[0]
    if accepting:
        names = ", ".join(f.name for f in accepting)
        raise PluginError(
            f"several frontends claim this file: {names}",
            where=str(path),
            fix="name one with --model-type",
        )
    _refuse_content(path)
    wanted = _SUFFIX_FRONTENDS.get(path.suffix.lower())
    if wanted and wanted not in known:
        _missing("frontend", wanted, known, where=str(path))
    _refuse_unread(path)
    raise UnsupportedError(
        f"no installed frontend recognises this file (installed: {', '.join(known) or 'none'})",
        where=str(path),
        fix="check that it is a complete model file; `cvi plugins` lists what is installed",
    )


def _refuse_content(path: Path) -> None:
    """Raise what a file that nobody accepts is by content: a page, an archive, a pickle …"""
    from cvi.content import refuse_other_content

    if path.is_file():
        refuse_other_content(path, _head(path))


def _refuse_unread(path: Path) -> None:
    """Raise what it most likely is otherwise."""
    from cvi.other_files import unread

    known = unread(path, _head(path)) if path.is_file() else None
    if known is not None:
        raise known


def _head(path: Path) -> bytes:
    from cvi.other_files import HEAD

    with path.open("rb") as file:
        return file.read(HEAD)


def executors() -> list[Executor]:
    """Fast executors of float graphs, the best first."""
    return list(_by_name("executor").values())


def schemes() -> dict[str, Scheme]:
    """Quantisation schemes by name."""
    return _by_name("scheme")


def scheme(name: str) -> Scheme:
    """The scheme of that name; PluginError when there is none."""
    return schemes().get(name) or _missing("scheme", name, schemes())


def chips() -> dict[str, Chip]:
    """Chips by name."""
    return _by_name("chip")


def chip(name: str) -> Chip:
    """The chip of that name; PluginError when there is none."""
    return chips().get(name) or _missing("chip", name, chips())


def runners() -> dict[str, Runner]:
    """Runners of program files by name."""
    return _by_name("runner")


def runner(name: str) -> Runner:
    """The runner of that name; PluginError when there is none."""
    return runners().get(name) or _missing("runner", name, runners())


def commands() -> dict[str, Command]:
    """Commands that plugins add to the command line."""
    return _by_name("command")


def load_ops() -> None:
    """Import the op classes of all plugins, which registers them with the IR.

    A clash of names is found by the IR itself. A plugin that cannot be imported is only
    a warning: the graph file may not need it.
    """
    for _ in _results("ops"):
        pass


def converters(frontend: str) -> dict[str, Any]:
    """Framework op name -> converter function, for one frontend."""
    return _merged(f"{frontend} converter", _results("converters", frontend=frontend))


def quantizers(scheme: str) -> dict[type[Any], Any]:
    """Float op class -> quantiser function, for one scheme."""
    return _merged(f"{scheme} quantiser", _results("quantizers", scheme=scheme))


def kernels(family: str) -> dict[type[Any] | str, Any]:
    """Quantised op class -> kernel, and name -> CPU function, for one chip family."""
    return _merged(f"{family} kernel", _results("kernels", family=family))


def installed() -> list[Plugin]:
    """Every installed plugin with what it gives; broken ones say why."""
    pm = manager()
    gives: dict[str, list[str]] = {}
    for kind in _NAMED_HOOKS:
        for who, thing in _valid(kind):
            gives.setdefault(who.name, []).append(f"{kind} {thing.name}")
    plugins = {pm.about(p).name: pm.about(p) for p in pm.get_plugins()} | pm.broken
    for part in _PARTS:
        for impl in getattr(pm.hook, f"cvi_register_{part}").get_hookimpls():
            gives.setdefault(pm.about(impl.plugin).name, []).append(part)
    return [
        Plugin(p.name, p.distribution, p.version, tuple(gives.get(p.name, ())), p.problem)
        for p in sorted(plugins.values(), key=lambda p: p.name)
    ]


# -- behind the look-ups ----------------------------------------------------


def _results(what: str, **arguments: str) -> Iterator[tuple[Plugin, Any]]:
    return manager().results(f"cvi_register_{what}", **arguments)


def _valid(kind: str) -> Iterator[tuple[Plugin, Any]]:
    """The objects of a hook that keep to the protocol; the others break their plugin."""
    protocol = _NAMED_HOOKS[kind]
    for who, things in _results(f"{kind}s"):
        for thing in things:
            if isinstance(thing, protocol):
                yield who, thing
                continue
            lacks = ", ".join(_lacking(thing, protocol)) or "the right type"
            manager().mark_broken(
                who, TypeError(f"cvi_register_{kind}s gave {thing!r}, which lacks {lacks}")
            )


def _lacking(thing: object, protocol: type) -> list[str]:
    members = set(getattr(protocol, "__annotations__", ())) | set(vars(protocol))
    return sorted(m for m in members if not m.startswith("_") and not hasattr(thing, m))


def _by_name(kind: str) -> dict[str, Any]:
    return _merged(kind, ((who, {thing.name: thing}) for who, thing in _valid(kind)))


def _merged(what: str, parts: Iterable[tuple[Plugin, Mapping[Any, T]]]) -> dict[Any, T]:
    """One mapping of all; PluginError when two plugins claim the same name."""
    merged: dict[Any, T] = {}
    owner: dict[Any, Plugin] = {}
    for who, part in parts:
        for name, thing in part.items():
            if name in merged:
                raise _clash(what, name, owner[name], who)
            merged[name], owner[name] = thing, who
    return merged


def _clash(what: str, name: Any, first: Plugin, second: Plugin) -> PluginError:
    shown = getattr(name, "__name__", name)
    return PluginError(
        f"{what} {shown!r} is provided by both {first.label} and {second.label}",
        fix=f"uninstall one of them, e.g. pip uninstall {second.distribution}",
    )


def _accepts(frontend: Frontend, path: Path) -> bool:
    try:
        return frontend.accepts(path)
    except (CviError, OSError):
        raise
    except Exception as error:
        about = Plugin(f"frontend {frontend.name}", f"cvi-frontend-{frontend.name}", "")
        manager().mark_broken(about, error)
        return False


def _missing(kind: str, name: str, known: Mapping[str, object], *, where: str = "") -> NoReturn:
    """Raise the PluginError of a failed look-up: near names, or what to install."""
    offered = _OFFERED.get(kind, {})
    distribution = offered.get(name, f"cvi-{kind}-{name.lower()}")
    where = where or f"{kind} {name!r}"
    for plugin in manager().broken.values():
        if plugin.distribution.lower().replace("_", "-") == distribution:
            raise PluginError(
                f"the plugin {plugin.label} is broken: {plugin.problem}",
                where=where,
                fix=plugin.mend,
            )
    near = difflib.get_close_matches(name, {*known, *offered}, n=3)
    guess = f"; did you mean {' or '.join(near)}?" if near and name not in near else ""
    best = name if name in offered else next((n for n in near if n in offered), "")
    if best in known:
        fix = f"use {best}"
    elif best:
        fix = f"pip install {offered[best]}"
    else:
        fix = f"name an installed one, or pip install the plugin that provides it ({distribution}?)"
    raise PluginError(
        f"no {kind} {name!r} is installed (installed: {', '.join(sorted(known)) or 'none'}){guess}",
        where=where,
        fix=fix,
    )
