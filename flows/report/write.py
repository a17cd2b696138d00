"""From the names of runs to the file of their report."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from data.resolve import ConfigError
from infra.store.store import Store

HINT = "a report needs plotly: pip install 'rzero[report]'"


def can_report() -> bool:
    """Whether plotly is installed."""
    return importlib.util.find_spec("plotly") is not None


def write_report(store: Store, run_names: Sequence[str], target: Path | None = None) -> Path:
    """Write the report of the runs as one HTML file; the path of the file.

    Without a `target` it lies beside the first run in a local store, else in the working folder. Raises
    ConfigError for an unknown run, a target that cannot be written, and where plotly is not installed.
    """
    if not can_report():
        raise ConfigError(HINT)
    from flows.report.read import read_runs
    from flows.report.story import report_html

    runs = read_runs(store, run_names)
    if target is None:
        first = runs[0].name
        in_store = Path(store.root) / "runs" / first / "report.html"
        target = in_store if store.is_local else Path(f"rzero-report-{first}.html")
    _write_whole(target, report_html(store, runs, target))
    return target


def _write_whole(target: Path, content: str) -> None:
    """Write the file whole, or not at all."""
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
