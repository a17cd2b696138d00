"""`rzero report`."""

from __future__ import annotations

import click

from flows.commands.options import open_store, store_option


@click.command()
@click.argument("run_names", metavar="NAME [NAME …]", nargs=-1, required=True)
@click.option("--to", "target", type=click.Path(), help="The HTML file.  [default: report.html with the run]")
@store_option
def report(run_names: tuple[str, ...], target: str | None, store: str | None) -> None:
    """Write a self-contained HTML report of one or several runs."""
    from pathlib import Path

    from flows.report.write import write_report

    click.echo(write_report(open_store(store), run_names, Path(target) if target else None))
