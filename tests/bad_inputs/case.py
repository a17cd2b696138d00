"""What a bad input is."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A command line that must be refused.

    `{store}` is a store with the finished run `made`, `{file}` a file, `{folder}` one that nobody may
    write to, `{model}` a model broken as `model` says. `damage` is done to a copy of the store: a file by
    path, with what it then holds. `environment` is set for the command.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = types.MappingProxyType({})
    damage: tuple[str, bytes] | None = None
    model: str | None = None


def case_of(line: str, *more: str, **others: Any) -> Case:
    return Case((*line.split(), *more), **others)


IN_STORE = ("--store", "{store}")


def name_of(case: Case) -> str:
    """The case as the name of a test."""
    shown = (
        " ".join(case.arguments)
        + (f" {case.damage[1][:12]!r}" if case.damage else "")
        + f" {case.model or ''}"
    )
    return ascii(shown[:90] + "".join(f" {name}" for name in case.environment))


def path_in(store: Path, pattern: str) -> Path:
    """The one file of a store that a pattern names."""
    (file,) = store.glob(pattern)
    return file
