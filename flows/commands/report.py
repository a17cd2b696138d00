"""`rzero report`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from data.resolve import ConfigError
from infra.store.store import Store


def report_command(store: Store, run_names: Sequence[str], target: Path | None = None) -> Path:
    """Write the report of the runs as one HTML file; the path of the file.

    Without a `target` it lies beside the first run in a local store, else in the working folder. Raises
    ConfigError for an unknown run, for a target that cannot be written, and where plotly is not installed.
    """
    try:
        import plotly  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise ConfigError("a report needs plotly: pip install 'rzero[report]'") from None
    from flows.report.read import read_runs
    from flows.report.story import report_html

    runs = read_runs(store, run_names)
    if not runs:
        raise ConfigError("a report needs the name of a run")
    if target is None:
        first = runs[0].name
        in_store = Path(store.root) / "runs" / first / "report.html"
        target = in_store if store.is_local else Path(f"rzero-report-{first}.html")
    _write(target, report_html(store, runs, target))
    return target


def _write(target: Path, content: str) -> None:
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
