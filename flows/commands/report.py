"""`rzero report`."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.commands.options import TargetPath, open_store, store_option
from flows.text import say

if TYPE_CHECKING:
    from infra.store.store import Store

HINT = "a report needs plotly and jinja2: pip install 'rzero[report]'"


@click.command()
@click.argument("run_names", metavar="NAME [NAME …]", nargs=-1, required=True)
@click.option(
    "--to",
    "target",
    type=TargetPath(path_type=Path),
    help="The HTML file.  [default: report.html with the run]",
)
@store_option
def report(run_names: tuple[str, ...], target: Path | None, store: str | None) -> None:
    """Write a self-contained HTML report of one or several runs."""
    say(str(write_report(open_store(store), run_names, target)))


def can_report() -> bool:
    """Whether what a report needs is installed."""
    return all(importlib.util.find_spec(name) for name in ("plotly", "jinja2"))


def write_report(store: Store, run_names: Sequence[str], target: Path | None = None) -> Path:
    """Write the report of the runs as one HTML file; the path of the file.

    Without a `target` it lies beside the first run in a local store, else in the working folder. Raises
    ConfigError for an unknown run, a target that cannot be written, and what is not installed.
    """
    from data.resolve import ConfigError

    if not can_report():
        raise ConfigError(HINT)
    from flows.report.read import read_runs
    from flows.report.story import report_html

    runs = read_runs(store, run_names)
    if target is None:
        first = runs[0].name
        in_store = Path(store.root) / "runs" / first / "report.html"
        target = in_store if store.is_local else Path(f"rzero-report-{first}.html")
    content = report_html(store, runs, target)
    # The file is written whole, or not at all.
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode())
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--to: {target} cannot be written: {os.strerror(error.errno or 0)}") from None
    return target
