"""The converters of a frontend: which function converts which op of a framework."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from cvi import plugins

ConverterT = TypeVar("ConverterT")


class Converters(Generic[ConverterT]):
    """A frontend's own converters, registered by decorator, and those of other plugins.

    frontend: its name, with which plugins are asked. package: the module whose `load`
    imports all modules that register converters; called at the first look-up.
    """

    def __init__(self, frontend: str, package: str) -> None:
        self._frontend, self._package = frontend, package
        self._own: dict[str, ConverterT] = {}
        self._loaded = False

    def converts(self, *ops: str) -> Callable[[ConverterT], ConverterT]:
        """Register the converter of these ops, by the framework's names."""

        def register(converter: ConverterT) -> ConverterT:
            self._own.update(dict.fromkeys(ops, converter))
            return converter

        return register

    def built_in(self) -> Mapping[str, ConverterT]:
        """The frontend's own converters by op."""
        if not self._loaded:
            importlib.import_module(self._package).load()
            self._loaded = True
        return dict(self._own)

    def all_converters(self) -> dict[str, ConverterT]:
        """The frontend's own converters, and those that other plugins register for it."""
        return {**self.built_in(), **plugins.converters(self._frontend)}
