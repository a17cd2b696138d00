"""`rzero report`, and where the report of a run lies."""

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
    from infra.artifacts.artifact import ArtifactRef
    from infra.store.store import Store

HINT = "a report needs plotly and jinja2: pip install 'rzero[report]'"

_written: dict[str, list[ArtifactRef | None]] = {}
"""What the report at a URI was made from, where this process has written it."""


@click.command()
@click.argument("run_names", metavar="NAME [NAME …]", nargs=-1, required=True)
@click.option(
    "--to",
    "target",
    type=TargetPath(path_type=Path),
    help="The HTML file.  [default: report.html with the run; of several, compared.html with the first]",
)
@click.option("--watch", is_flag=True, help="Serve it on this machine, always up to date, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="With --watch.  [default: a free one]")
@store_option
def report(
    run_names: tuple[str, ...], target: Path | None, watch: bool, port: int, store: str | None
) -> None:
    """Write a self-contained HTML report of one or several runs."""
    place = open_store(store)
    if not watch:
        say(str(write_report(place, run_names, target) if target else store_report(place, run_names)))
        return
    from data.resolve import ConfigError

    if target is not None:
        raise ConfigError("--to and --watch do not go together: a served report is written to no file")
    _check_installed()
    from flows.report.watch import serve

    serve(place, run_names, port)


def can_report() -> bool:
    """Whether what a report needs is installed."""
    return all(importlib.util.find_spec(name) for name in ("plotly", "jinja2"))


def report_path(run_name: str, *others: str) -> str:
    """Where in the store the report of a run lies, or of a run beside others."""
    return f"runs/{run_name}/{'compared' if others else 'report'}.html"


def store_report(store: Store, run_names: Sequence[str], again: bool = True) -> str:
    """Write the report of the runs beside the first of them in the store; its path or URI.

    Not `again`: not where this process has written it already and nothing has been finished since. Raises
    ConfigError for an unknown run and what is not installed, StoreError where it cannot be written.
    """
    _check_installed()
    from flows.report.read import read_runs
    from flows.report.story import report_html

    runs = read_runs(store, run_names)
    path = report_path(*(run.name for run in runs))
    uri, made_from = store.uri_of(path), [item.step.ref for run in runs for item in run.steps]
    if again or _written.get(uri) != made_from:
        store.put(path, report_html(store, runs, Path(store.full(path))).encode())
        _written[uri] = made_from
    return uri


def write_report(store: Store, run_names: Sequence[str], target: Path) -> Path:
    """Write the report of the runs as one HTML file; the path of the file.

    Raises ConfigError for an unknown run, a target that cannot be written, and what is not installed.
    """
    from data.resolve import ConfigError

    _check_installed()
    from flows.report.read import read_runs
    from flows.report.story import report_html

    content = report_html(store, read_runs(store, run_names), target)
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


def _check_installed() -> None:
    from data.resolve import ConfigError

    if not can_report():
        raise ConfigError(HINT)
