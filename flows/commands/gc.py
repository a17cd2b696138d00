"""`rzero gc`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click

from data.resolve import ConfigError
from infra.artifacts.runs import load_run, run_names
from infra.store.store import Store
from tasks.stage.housekeeping import Plan, Waste, plan, remove

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def gc_command(
    store: Store,
    run: str | None,
    keep_iterations: str | None,
    keep_checkpoints: int,
    delete: bool,
    as_json: bool,
) -> None:
    """Show what no kept iteration needs, and remove it where that was asked for. Raises ConfigError."""
    there = run_names(store)
    if run is not None and run not in there:
        raise ConfigError(f"there is no run {run!r} in {store.uri}; runs there: {', '.join(there) or 'none'}")
    configs = [config for name in ([run] if run else there) if (config := load_run(store, name))]
    keep = None if keep_iterations is None else _numbers(keep_iterations)
    found = plan(store, configs, keep, keep_checkpoints)
    gone = [waste for waste in found.waste if remove(store, waste)] if delete else []
    if as_json:
        click.echo(json.dumps(_document(found, gone, delete), indent=1))
        return
    _show(found, gone, delete, store)


def _numbers(text: str) -> set[int]:
    """The iterations that "1,3-5" names."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ConfigError(f"--keep-iterations: {text!r} is not like '3', '1-3' or '0,2-4'")
        first = int(match[1])
        numbers |= set(range(first, int(match[2] or first) + 1))
    return numbers


def _document(found: Plan, gone: Sequence[Waste], delete: bool) -> dict[str, Any]:
    removed = {waste.path for waste in gone}
    return {
        "waste": [
            {
                "path": waste.path,
                "what": waste.what,
                "why": waste.why,
                "bytes": waste.bytes,
                "removed": waste.path in removed,
            }
            for waste in found.waste
        ],
        "bytes": found.bytes,
        "spared": found.spared,
        "deleted": delete,
    }


def _show(found: Plan, gone: Sequence[Waste], delete: bool, store: Store) -> None:
    for waste in found.waste:
        click.echo(f"{_size(waste.bytes):>10}  {waste.what:18}  {waste.path}: {waste.why}")
    for line in found.spared:
        click.echo(f"{'kept':>10}  {line}", err=True)
    if not found.waste:
        click.echo(f"nothing to remove in {store.uri}")
    elif not delete:
        count = len(found.waste)
        click.echo(f"{_size(found.bytes):>10}  in {count} items; nothing was removed, --delete removes them")
    else:
        click.echo(f"{_size(sum(waste.bytes for waste in gone)):>10}  removed, {len(gone)} in all")
        for waste in found.waste:
            if waste not in gone:
                click.echo(f"rzero: {waste.path} is being worked on now; it was left", err=True)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
