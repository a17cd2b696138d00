"""Errors that a person can mend: one line on the terminal, no traceback in the log."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

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
    *(ServerUnavailable, StageError, StoreError, TrainingError, httpx.TransportError),
)
"""What they tell says what to do. Of requests, only those to the Prefect server fail a flow as they are."""
BAD_INPUT = (ConfigError, DeviceSetupError, KeyRefused, ModelDirectoryError)
"""No machine can do what was asked for."""


def _told(error: BaseException) -> str:
    if isinstance(error, httpx.TransportError):
        why = type(error).__name__
        return (
            f"the Prefect server does not answer ({why}): it has ended, is overloaded, or cannot be reached"
        )
    return without_secrets(str(error))


def _without_traceback(record: logging.LogRecord) -> bool:
    """Takes the traceback off a mendable error; a flow's record becomes what the error says."""
    if record.exc_info and isinstance(record.exc_info[1], MENDABLE):
        if str(record.msg).startswith("Encountered exception during execution"):
            record.msg, record.args = "%s", (_told(record.exc_info[1]),)
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
        say(f"rzero: {_told(error)}", err=True)
        if then and not isinstance(error, GateStopped):
            say(f"rzero: {then}", err=True)
        sys.exit(2 if isinstance(error, BAD_INPUT) else 1)


class _Terminated(BaseException):
    """This process was asked to end, by SIGTERM."""


@contextmanager
def resumable_work(go_on: str = "run the same command again to go on from there") -> Iterator[None]:
    """Run flows in this block; what is finished when one fails or is interrupted is kept, `go_on` says how.

    An interrupt ends the command with exit code 130. SIGTERM unwinds the block, then ends the process.
    """
    log_mendable_in_one_line()
    then = f"finished work is kept; {go_on}"
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        with mendable_ends_the_command(then), told_on_terminal(), prefect_server():
            yield
    except (KeyboardInterrupt, _Terminated) as ended:
        is_terminated = isinstance(ended, _Terminated)
        say(f"rzero: {'terminated' if is_terminated else 'interrupted'}; {then}", err=True)
        if is_terminated:
            # Without waiting for threads that still work on a shard.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        sys.exit(128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_terminated(number: int, frame: Any) -> None:
    raise _Terminated
