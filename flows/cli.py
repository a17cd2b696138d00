"""The `rzero` command. Everything heavy is imported by the command that needs it, so `--help` is instant."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

_ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # A fresh Prefect home needs longer than the default of 20 s for its database.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    # Spinning OpenMP threads slow another process on the same cores many times.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


class _Cli(click.Group):
    """Turns what a user can mend into one clear line and exit code 2 (bad input) or 1 (failed work)."""

    def invoke(self, context: click.Context) -> Any:
        from data.resolve import ConfigError
        from infra.store.store import StoreError

        try:
            return super().invoke(context)
        except (ConfigError, StoreError) as error:
            click.echo(f"rzero: {error}", err=True)
            sys.exit(2)


def _store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--store",
        envvar="RZERO_STORE",
        help="Folder or URI of the store.  [default: $RZERO_STORE, ./rzero-store]",
    )(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")(command)


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rzero")
def main() -> None:
    """A language model teaches itself to reason, with no data (R-Zero, arXiv 2508.05004)."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@main.command()
@click.option("--run", "run_name", required=True, help="Name of the run; an existing one is resumed.")
@click.option("--preset", help="Preset of a new run.  [default: tiny]")
@click.option("--iterations", type=int, help="How many iterations.  [default: the preset's]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; repeatable."
)
@_store_option
@_json_option
def run(
    run_name: str,
    preset: str | None,
    iterations: int | None,
    overrides: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Run a whole evolution, or resume it: finished work is not done again."""
    from flows.commands.run import run_command

    sys.exit(run_command(run_name, preset, iterations, overrides, store, as_json))


@main.command()
@click.argument("run_name", metavar="NAME")
@_store_option
@_json_option
def status(run_name: str, store: str | None, as_json: bool) -> None:
    """Show what is finished of a run, with times and key figures."""
    from flows.commands.show import show_table
    from flows.commands.summary import read_steps, status_rows

    place, config = _load(run_name, store)
    rows = status_rows(read_steps(place, config))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    shown = [{key: row[key] for key in ("iteration", "stage", "state", "seconds", "figures")} for row in rows]
    show_table(shown, f"{run_name} ({config.preset}) in {place.uri}")


@main.command()
@click.argument("run_name", metavar="NAME")
@_store_option
@_json_option
def results(run_name: str, store: str | None, as_json: bool) -> None:
    """Show the scores of a run by benchmark and iteration, with intervals."""
    from flows.commands.results import results_command

    place, config = _load(run_name, store)
    results_command(place, config, as_json)


@main.command()
@click.argument("run_name", metavar="NAME")
@click.option("--iteration", type=int, required=True, help="Number of the iteration; 0 is the base model.")
@click.option(
    "--stage",
    required=True,
    help="A stage (score_and_filter, train_solver ...) or a table (scored, curriculum ...).",
)
@click.option("--table", help="A side table of the stage: rollouts, metrics, probe, curriculum.")
@click.option("--sql", help="A query over the table `self`: 'SELECT question, p_hat FROM self WHERE kept'.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Rows to show.")
@click.option("--columns", "only_columns", is_flag=True, help="Only what the columns mean.")
@_store_option
@_json_option
def inspect(
    run_name: str,
    iteration: int,
    stage: str,
    table: str | None,
    sql: str | None,
    limit: int,
    only_columns: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Show a table of a run: its rows, its columns, where its Parquet lies."""
    from flows.commands.inspect import inspect_command

    place, config = _load(run_name, store)
    inspect_command(place, config, iteration, stage, table, sql, limit, only_columns, as_json)


@main.command()
@click.argument("name", metavar="NAME")
@click.option("--experiment", "which", default="ablations", show_default=True, help="Which experiment.")
@click.option("--variant", "chosen", multiple=True, help="Only this variant; repeatable.  [default: all]")
@click.option(
    "--seed", "seeds", type=click.IntRange(min=0), multiple=True, default=(0, 1, 2), show_default=True
)
@click.option("--preset", help="Preset of the runs.  [default: tiny]")
@click.option("--iterations", type=int, help="How many iterations.  [default: the preset's]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting of all; repeatable.")
@click.option("--table-only", is_flag=True, help="Run nothing; the table of what is there.")
@_store_option
@_json_option
def experiment(
    name: str,
    which: str,
    chosen: tuple[str, ...],
    seeds: tuple[int, ...],
    preset: str | None,
    iterations: int | None,
    overrides: tuple[str, ...],
    store: str | None,
    table_only: bool,
    as_json: bool,
) -> None:
    """Run variants of a run with several seeds (or resume them), and show them in one table."""
    from flows.commands.experiment import experiment_command

    sys.exit(
        experiment_command(
            name, which, chosen, seeds, preset, iterations, overrides, store, table_only, as_json
        )
    )


@main.command()
@click.argument("run_names", metavar="NAME [NAME …]", nargs=-1, required=True)
@click.option("--to", "target", type=click.Path(), help="The HTML file.  [default: report.html with the run]")
@_store_option
def report(run_names: tuple[str, ...], target: str | None, store: str | None) -> None:
    """Write a self-contained HTML report of one or several runs."""
    from pathlib import Path

    from flows.commands.report import report_command

    place, _ = _load(run_names[0], store)
    click.echo(report_command(place, run_names, Path(target) if target else None))


@main.command()
@click.argument("run_name", metavar="NAME")
@click.option("--iteration", type=int, required=True, help="Number of the iteration; 0 is the base model.")
@click.option("--model", type=click.Choice(["challenger", "solver"]), default="solver", show_default=True)
@click.option("--to", "target", required=True, type=click.Path(), help="A folder that does not exist yet.")
@_store_option
def export(run_name: str, iteration: int, model: str, target: str, store: str | None) -> None:
    """Copy a trained model to a Hugging Face directory."""
    from flows.commands.export import export_command

    place, config = _load(run_name, store)
    click.echo(export_command(place, config, iteration, model, target))


@main.command()
@click.argument("run_name", metavar="NAME")
@click.option("--iteration", type=int, required=True, help="Number of the iteration; 0 is the base model.")
@click.option("--stage", required=True, help="The stage whose artifact is asked about.")
@_store_option
@_json_option
def lineage(run_name: str, iteration: int, stage: str, store: str | None, as_json: bool) -> None:
    """Show all that an artifact was made from: what, when, where, and whether it is still there."""
    from flows.commands.lineage import lineage_command

    place, config = _load(run_name, store)
    lineage_command(place, config, iteration, stage, as_json)


@main.command()
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
@_store_option
@_json_option
def gc(
    run_name: str | None,
    keep_iterations: str | None,
    keep_checkpoints: int,
    delete: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """List, and with --delete remove, what no kept iteration of a run (or of any) needs."""
    from flows.commands.gc import gc_command
    from infra.store.store import Store

    place = Store(store or "./rzero-store")
    gc_command(place, run_name, keep_iterations, keep_checkpoints, delete, as_json)


@main.command()
@_store_option
@_json_option
def doctor(store: str | None, as_json: bool) -> None:
    """Tell what this machine can run, what is missing, and the command that mends it."""
    from flows.commands.doctor import doctor_command

    sys.exit(doctor_command(store, as_json))


def _load(run_name: str, store: str | None) -> tuple[Any, Any]:
    from data.resolve import ConfigError
    from infra.artifacts.runs import load_run, run_names
    from infra.store.store import Store

    place = Store(store or "./rzero-store")
    config = load_run(place, run_name)
    if config is None:
        there = ", ".join(run_names(place)) or "none yet"
        raise ConfigError(f"there is no run {run_name!r} in {place.uri}; runs there: {there}")
    return place, config


if __name__ == "__main__":
    main()
