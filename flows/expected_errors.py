"""Errors that are meant for people are logged without a traceback."""

from __future__ import annotations

import logging

from data.resolve import ConfigError
from infra.artifacts.model_check import ModelDirectoryError
from infra.jobs.errors import DeviceError, DeviceSetupError
from infra.store.store import StoreError
from infra.trainers.errors import TrainingError
from tasks.stage.errors import StageError

EXPECTED = (ConfigError, DeviceError, ModelDirectoryError, StageError, StoreError, TrainingError)
"""What a person can mend; the message says how."""
BAD_INPUT = (ConfigError, DeviceSetupError, ModelDirectoryError)
"""What was asked for cannot be, whatever the machine does."""


class _WithoutTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], EXPECTED):
            record.exc_info = None
        return True


def quiet_expected_errors() -> None:
    """Log what a user can mend as one line; every other error keeps its traceback."""
    for name in ("prefect.task_runs", "prefect.flow_runs", "prefect.task_engine", "prefect.flow_engine"):
        logging.getLogger(name).addFilter(_WithoutTraceback())
