"""`rzero experiment`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from data.experiments import load_variants
from data.resolve import ConfigError, resolve, split_overrides
from flows.commands.experiment_table import HARD_GREEDY, experiment_rows, hard_groups, shown_rows
from flows.commands.show import show_table
from flows.expected_errors import EXPECTED, quiet_expected_errors
from flows.report.read import read_runs
from infra.artifacts.runs import load_run
from infra.store.store import Store


def experiment_command(
    name: str,
    which: str,
    chosen: Sequence[str],
    seeds: Sequence[int],
    preset: str | None,
    iterations: int | None,
    overrides: Sequence[str],
    store: str | None,
    table_only: bool,
    as_json: bool,
) -> int:
    """Run or resume the runs of an experiment, then show its table; the exit code."""
    from flows.experiment import experiment, experiment_runs

    variants = load_variants(which, tuple(chosen))
    settings = split_overrides(overrides)
    for variant in variants:
        resolve(
            f"{name}-{variant.name}", preset or "tiny", {**settings, **variant.overrides}, store, iterations
        )
    runs = experiment_runs(name, variants, seeds)
    place = Store(resolve(name, preset or "tiny", settings, store).store)
    if not table_only:
        quiet_expected_errors()
        try:
            experiment(name, which, list(chosen), list(seeds), preset, iterations, store, settings)
        except (*EXPECTED, OSError) as error:
            click.echo(f"rzero: {error}", err=True)
            click.echo("rzero: what is finished is kept; the same command goes on from there", err=True)
            return 1
    there = {
        variant: read_runs(place, [run for run in members if load_run(place, run) is not None])
        for variant, members in runs.items()
    }
    if not any(there.values()):
        raise ConfigError(f"experiment {name!r} has no run in {place.uri} yet")
    hard = hard_groups(next(members for members in there.values() if members))
    rows = experiment_rows(there, hard)
    if as_json:
        click.echo(json.dumps({"hard_groups": hard, "rows": rows}, indent=1))
        return 0
    show_table(shown_rows(rows), f"{name}: mean (lowest-highest) over seeds")
    click.echo(
        f"hard: groups {', '.join(hard) or 'none'}, where the base's greedy accuracy is ≤ {HARD_GREEDY}"
    )
    return 0
