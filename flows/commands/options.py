"""Arguments and options that several commands share, and what they name: a store, a run."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from data.foreign import is_possible, one_line

if TYPE_CHECKING:
    from data.config import RunConfig
    from infra.store.store import Store

name_argument = click.argument("run_name", metavar="NAME")
iteration_option = click.option(
    "--iteration", type=int, required=True, help="Number of the iteration; 0 is the base model."
)
preset_option = click.option("--preset", help="Preset of a new run.  [default: tiny]")
iterations_option = click.option(
    "--iterations", type=int, help="How many iterations.  [default: the preset's]"
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; repeatable."
)
store_option = click.option(
    "--store",
    envvar="RZERO_STORE",
    help="Folder or URI of the store.  [default: $RZERO_STORE, ./rzero-store]",
)
license_option = click.option(
    "--license",
    metavar="ID",
    help="Licence for the card, as the hub names it; without it, the card names none.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


class TargetPath(click.Path):
    """A path to write to, that a file system can have."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not is_possible(str(value)) or not str(value):
            self.fail(f"{one_line(repr(str(value)), 60)} cannot be a path", param, ctx)
        return super().convert(value, param, ctx)


def open_store(store: str | None) -> Store:
    """The store that `--store` names."""
    from infra.store.store import Store

    return Store(store or "./rzero-store")


def in_store(store: str | None) -> str:
    """What a command needs to find this store again: nothing, where it is $RZERO_STORE or the default."""
    return f" --store {shlex.quote(store)}" if store and store != os.environ.get("RZERO_STORE") else ""


def open_run(store: str | None, run_name: str) -> tuple[Store, RunConfig]:
    """The store and the frozen configuration of a run in it; ConfigError where there is no such run."""
    from infra.artifacts.runs import known_run

    place = open_store(store)
    return place, known_run(place, run_name)
