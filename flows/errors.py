"""Errors that a person can mend: one line on the terminal, no traceback in the log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from data.resolve import ConfigError
from flows.live.terminal import told_on_terminal
from flows.server import ServerUnavailable, prefect_server
from flows.text import say
from infra.jobs.errors import DeviceError, DeviceSetupError
from infra.judge_endpoint import EndpointUnavailable
from infra.keys import KeyRefused, without_secrets
from infra.machine.memory import OutOfMemory
from infra.models.check import ModelDirectoryError
from infra.store.store import StoreError
from infra.trainers.errors import TrainingError
from tasks.stage.errors import GateStopped, StageError

MENDABLE = (
    *(ConfigError, DeviceError, EndpointUnavailable, KeyRefused, ModelDirectoryError, OutOfMemory),
    *(ServerUnavailable, StageError, StoreError, TrainingError),
)
"""Their messages say what to do."""
BAD_INPUT = (ConfigError, DeviceSetupError, KeyRefused, ModelDirectoryError)
"""No machine can do what was asked for."""


def _without_traceback(record: logging.LogRecord) -> bool:
    """Takes the traceback off a mendable error; a flow's record becomes what the error says."""
    if record.exc_info and isinstance(record.exc_info[1], MENDABLE):
        if str(record.msg).startswith("Encountered exception during execution"):
            record.msg, record.args = "%s", (without_secrets(str(record.exc_info[1])),)
        record.exc_info = None
    return True


def log_mendable_in_one_line() -> None:
    """From now on Prefect logs a mendable error of a flow or a task in one line, without its traceback."""
    for name in ("task_runs", "flow_runs", "task_engine", "flow_engine", "engine"):
        logging.getLogger(f"prefect.{name}").addFilter(_without_traceback)


@contextmanager
def mendable_ends_the_command(then: str = "") -> Iterator[None]:
    """A mendable error in this block is one line, and `then` another; exit code 2 for bad input, else 1.

    A gate that stops a run says by itself how to go on.
    """
    try:
        yield
    except (*MENDABLE, OSError) as error:
        say(f"rzero: {without_secrets(str(error))}", err=True)
        if then and not isinstance(error, GateStopped):
            say(f"rzero: {then}", err=True)
        sys.exit(2 if isinstance(error, BAD_INPUT) else 1)


@contextmanager
def resumable_work() -> Iterator[None]:
    """Run flows in this block; what is finished when one fails is kept."""
    log_mendable_in_one_line()
    then = "finished work is kept; run the same command again to go on from there"
    with mendable_ends_the_command(then), told_on_terminal(), prefect_server():
        yield
