"""`rzero run`."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence

import click

from data.config import RunConfig
from flows.commands.show import show_table
from flows.commands.summary import gain_line, read_steps, summary_rows
from flows.expected_errors import BAD_INPUT, EXPECTED, quiet_expected_errors
from flows.start import begin, unfinished_steps
from infra.artifacts.artifact import table_folders
from infra.store.store import Store


def run_command(
    run_name: str,
    preset: str | None,
    iterations: int | None,
    overrides: Sequence[str],
    store: str | None,
    as_json: bool,
) -> int:
    """Run or resume, then show the results; the exit code."""
    config = begin(run_name, preset, store, overrides, iterations)
    unfinished = unfinished_steps(config)
    if unfinished:
        first = unfinished[0]
        click.echo(
            f"rzero: run {config.run}, {config.iterations} iterations of preset {config.preset}, in "
            f"{Store(config.store).uri}; beginning with {first.stage} of iteration {first.iteration}",
            err=True,
        )
        code = _work(config)
        if code:
            return code
    else:
        click.echo(f"rzero: run {config.run} is finished; no stage was executed", err=True)
    _show(config, as_json)
    return 0


def _work(config: RunConfig) -> int:
    from flows.evolve import evolve

    quiet_expected_errors()
    try:
        evolve(run=config.run, iterations=config.iterations, store=config.store)
    except (*EXPECTED, OSError) as error:
        click.echo(f"rzero: {error}", err=True)
        click.echo("rzero: what is finished is kept; the same command goes on from there", err=True)
        return 2 if isinstance(error, BAD_INPUT) else 1
    return 0


def _show(config: RunConfig, as_json: bool) -> None:
    store = Store(config.store)
    steps = read_steps(store, config)
    rows = summary_rows(steps)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    show_table(rows, f"{config.run} ({config.preset})")
    if gain := gain_line(rows):
        click.echo(gain)
    click.echo("Tables, for polars.scan_parquet:")
    for item in steps:
        if item.manifest and item.step.ref:
            for folder in table_folders(item.manifest):
                click.echo(f"  {item.step.ref.uri}{folder}/part-*.parquet")
    if importlib.util.find_spec("plotly") is None:
        click.echo(
            "No report: it needs plotly, which the extra 'report' brings (pip install 'rzero[report]')"
        )
        return
    from flows.commands.report import report_command

    click.echo(f"Report: {report_command(store, [config.run], None)}")
