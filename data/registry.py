"""Objects declared one per file in a package of ours, or by entry points of other packages."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The objects of one kind, by name.

    A file `<name>.py` in the package `data.things` holds one as `THING`; other packages name theirs with an
    entry point of the group `rzero.things`, or of `group`. `error` is raised for an unusable name.
    """

    package: str
    kind: type[T]
    error: Callable[[str], ValueError]
    group: str | None = None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._files() | set(self._entry_points()))

    def get(self, name: str) -> T:
        """The object of this name; the registry's error, in one line, where there is none."""
        noun = self.kind.__name__.lower()
        if name in self._files():
            declared = getattr(importlib.import_module(f"{self.package}.{name}"), noun.upper())
        elif point := self._entry_points().get(name):
            try:
                declared = point.load()
            except (ImportError, AttributeError) as error:
                raise self.error(f"{noun} {name!r} cannot be loaded: {error}") from None
        else:
            raise self.error(f"unknown {noun} {name!r}: known are {', '.join(self.names())}")
        if not isinstance(declared, self.kind):
            raise self.error(
                f"{noun} {name!r} is declared as {type(declared).__name__}, not as a {self.kind.__name__}"
            )
        if (named := getattr(declared, "name", name)) != name:
            raise self.error(f"{noun} {name!r} calls itself {named!r}: give both the same name")
        return declared

    def _files(self) -> set[str]:
        folders = importlib.import_module(self.package).__path__
        return {module.name for module in pkgutil.iter_modules(folders)}

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        group = self.group or f"rzero.{self.package.rpartition('.')[2]}"
        return {point.name: point for point in metadata.entry_points(group=group)}
