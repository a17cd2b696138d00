"""What a stage sees of the configuration: the settings that its row in the graph declares, and no others.

A setting that is read but not declared would be missing from the key, and a stale artifact would be reused
silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from data.section import Section


class UndeclaredSetting(RuntimeError):
    """A stage read a setting that its row in the graph does not declare."""


class View:
    """A part of the configuration that looks like it, restricted to the declared settings.

    `on_read`, for tests and tools, is called with the stage and the declared setting at each read.
    """

    on_read: ClassVar[Callable[[str, str], None] | None] = None

    def __init__(self, stage: str, section: Section, reads: tuple[str, ...], path: str = "") -> None:
        self._stage, self._section, self._reads, self._path = stage, section, reads, path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        dotted = f"{self._path}{name}"
        if dotted in self._reads:
            if View.on_read is not None:
                View.on_read(self._stage, dotted)
            return getattr(self._section, name)
        if any(each.startswith(f"{dotted}.") for each in self._reads):
            value = getattr(self._section, name)
            return None if value is None else View(self._stage, value, self._reads, f"{dotted}.")
        raise UndeclaredSetting(
            f"{self._stage} reads {dotted}, which its row in tasks/stage/graph.py does not declare"
        )
