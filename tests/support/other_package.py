"""A package of somebody else that adds to rzero by an entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, name: str, source: str) -> None:
    """Install a module whose `BENCHMARK`, `DOMAIN`, … is the entry point `name` of the group."""
    # What another test has installed under this name was imported from a folder of its own.
    monkeypatch.delitem(sys.modules, f"{name}_package", raising=False)
    attribute = group.rpartition(".")[2].removesuffix("s").upper()
    (folder / f"{name}_package.py").write_text(source)
    info = folder / f"{name}_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}_package:{attribute}\n")
    monkeypatch.syspath_prepend(str(folder))
