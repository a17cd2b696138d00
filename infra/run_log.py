"""The log of the flow or task that the code works for, where a person looks for what happened."""

from __future__ import annotations

import logging
import sys
from typing import Any

_OURS = "rzero"
"""The parent of the loggers of everything that knows of no run, such as the store."""


def run_log(otherwise: str = _OURS) -> Any:
    """The log of the Prefect task or flow that this thread works for, else the logger of that name."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(otherwise)


class _ToRun(logging.Handler):
    """Hands a line of the store or of a backend to the run's log; without a run, to the terminal's."""

    def emit(self, record: logging.LogRecord) -> None:
        # What has not imported Prefect by now works for no run.
        log = run_log("") if "prefect" in sys.modules else logging.getLogger()
        if isinstance(log, logging.Logger):
            log.callHandlers(record)
        else:
            log.log(record.levelno, "%s", record.getMessage())


def follow_runs() -> None:
    """From now on what rzero logs outside of stages stands in the log of the run that it belongs to."""
    log = logging.getLogger(_OURS)
    if not any(isinstance(handler, _ToRun) for handler in log.handlers):
        log.addHandler(_ToRun())
        log.setLevel(logging.INFO)
        log.propagate = False
