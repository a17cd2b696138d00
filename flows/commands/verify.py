"""`rzero verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flows.commands.options import json_option, open_store, store_option
from flows.text import size
from infra.words import plural

if TYPE_CHECKING:
    from infra.artifacts.verify import Verified
    from infra.store.store import Store


@click.command()
@click.argument("run_name", metavar="[NAME]", required=False)
@click.option("--all", "all_runs", is_flag=True, help="Of every run in the store.")
@click.option("--set-aside", is_flag=True, help="Let the next run make again what is damaged.")
@store_option
@json_option
def verify(run_name: str | None, all_runs: bool, set_aside: bool, store: str | None, as_json: bool) -> None:
    """Compare every file of a run's artifacts with its sha256.

    Names files that differ, are missing or in no manifest, and inputs that are no longer as they were used.
    Exit code 1 if there is any.
    """
    from data.resolve import ConfigError
    from flows.live.show import show_json, tell
    from infra.artifacts import damage
    from infra.artifacts.runs import known_run, run_names

    if (run_name is None) != all_runs:
        raise ConfigError("verify: name a run, or say --all")
    place = open_store(store)
    names = [known_run(place, run_name).run] if run_name else run_names(place)
    found = [(name, each) for name in names for each in _verified(place, name, quiet=as_json)]
    problems = [line for _, each in found for line in each.problems]
    damaged = [each.location for _, each in found if each.is_damaged]
    if set_aside:
        for location in damaged:
            damage.set_aside(place, location)
    if as_json:
        show_json(_document(found, problems, set_aside))
    else:
        for line in problems:
            tell(f"rzero: {line}", err=True)
        if damaged:
            them = "it" if len(damaged) == 1 else "them"
            hint = f"--set-aside lets the next run make {them} again"
            if set_aside:
                hint = f"start the run again to make {them} anew"
            tell(f"rzero: {plural(len(damaged), 'damaged artifact')}; {hint}", err=True)
        files, total = sum(each.files for _, each in found), sum(each.bytes for _, each in found)
        verdict = "all as their manifests say" if not problems else f"{len(problems)} not as they should be"
        tell(f"{plural(len(found), 'artifact')}, {plural(files, 'file')}, {size(total)}: {verdict}")
    if problems:
        raise click.exceptions.Exit(1)


def _verified(store: Store, name: str, quiet: bool) -> list[Verified]:
    """What was found of each artifact of a run, told as it is found."""
    from flows.live.show import tell
    from infra.artifacts.verify import artifacts_of, verify_artifact

    found = []
    for location in artifacts_of(store, name):
        each = verify_artifact(store, location)
        found.append(each)
        if not quiet:
            tell(f"{'damaged' if each.problems else 'ok':<8} {location.path}")
    return found


def _document(found: list[tuple[str, Verified]], problems: list[str], set_aside: bool) -> dict[str, Any]:
    return {
        "artifacts": [
            {"run": name, "path": each.location.path, "files": each.files, "bytes": each.bytes}
            | {"problems": list(each.problems), "set_aside": set_aside and each.is_damaged}
            for name, each in found
        ],
        "problems": problems,
    }
