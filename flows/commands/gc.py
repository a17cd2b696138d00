"""`rzero gc`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from data.foreign import one_line
from flows.commands.options import json_option, open_store, store_option
from flows.text import size
from infra.words import plural

if TYPE_CHECKING:
    from infra.store.store import Store
    from tasks.stage.housekeeping import Plan, Removable

_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


@click.command()
@click.argument("run_name", metavar="[NAME]", required=False)
@click.option("--keep-iterations", help="Like '3', '1-3' or '0,2-4'.  [default: all]")
@click.option(
    "--keep-checkpoints",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="How many to keep of each finished training.",
)
@click.option("--delete", is_flag=True, help="Remove it. Without this nothing is removed.")
@store_option
@json_option
def gc(
    run_name: str | None,
    keep_iterations: str | None,
    keep_checkpoints: int,
    delete: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """List, or with --delete remove, what no kept iteration needs.

    Of the run NAME, or of all runs in the store.
    """
    from flows.live.show import show_json
    from infra.artifacts.runs import known_run, run_names
    from tasks.stage.housekeeping import plan, remove

    place = open_store(store)
    names = [run_name] if run_name else run_names(place)
    configs = [known_run(place, name) for name in names]
    keep = None if keep_iterations is None else _numbers(keep_iterations)
    planned = plan(place, configs, keep, keep_checkpoints)
    gone = [item for item in planned.removable if remove(place, item)] if delete else []
    if as_json:
        show_json(_document(planned, gone, delete))
    else:
        _show(planned, gone, delete, place)


def _numbers(text: str) -> set[int]:
    """The iterations that "1,3-5" names."""
    from data.resolve import ConfigError

    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ConfigError(
                f"--keep-iterations: {one_line(repr(text), 80)} is not like '3', '1-3' or '0,2-4'"
            )
        first = int(match[1])
        numbers |= set(range(first, int(match[2] or first) + 1))
    return numbers


def _document(planned: Plan, gone: Sequence[Removable], delete: bool) -> dict[str, Any]:
    return {
        "removable": [
            {name: getattr(item, name) for name in ("path", "what", "why", "bytes")}
            | {"removed": item in gone}
            for item in planned.removable
        ],
        "bytes": planned.bytes,
        "spared": planned.spared,
        "deleted": delete,
    }


def _show(planned: Plan, gone: Sequence[Removable], delete: bool, store: Store) -> None:
    """Two lines an item; the second is its full path."""
    from flows.live.show import tell

    for item in planned.removable:
        tell(f"{size(item.bytes):>10}  {item.what}: {item.why}", indent=12)
        tell(f"{'':12}{item.path}")
    for line in planned.spared:
        tell(f"{'kept':>10}  {line}", err=True)
    count = len(planned.removable)
    if not count:
        tell(f"nothing to remove in {store.uri}")
    elif not delete:
        told = f"in {plural(count, 'item')}; nothing was removed, --delete removes them"
        tell(f"{size(planned.bytes):>10}  {told}")
    else:
        tell(f"{size(sum(item.bytes for item in gone)):>10}  removed, {len(gone)} in all")
        for item in planned.removable:
            if item not in gone:
                why = "it is worked on, is not as it was listed, or what replaces it is not whole"
                tell(f"rzero: {item.path} stays: {why}", err=True)
