"""An error that a person can mend is one line in every log of Prefect's; any other keeps its traceback."""

from __future__ import annotations

import logging

import httpx
import pytest

from data.resolve import ConfigError
from flows.errors import log_mendable_in_one_line

NAMES = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")


class Kept(logging.Handler):
    """Formats what reaches the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += self.format(record).splitlines()


def _log(name: str, error: Exception) -> list[str]:
    kept, log = Kept(), logging.getLogger(name)
    log.addHandler(kept)
    try:
        raise error
    except Exception as raised:
        log.exception("Encountered exception during execution: %r", raised)
    finally:
        log.removeHandler(kept)
    return kept.lines


@pytest.mark.parametrize("name", NAMES)
def test_a_mendable_error_is_one_line_that_says_what_to_do(name: str) -> None:
    log_mendable_in_one_line()
    assert _log(name, ConfigError("solver.steps: 0 is too few; at least 1")) == [
        "solver.steps: 0 is too few; at least 1"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_does_not_answer_is_one_line_though_its_error_says_nothing(name: str) -> None:
    log_mendable_in_one_line()
    (line,) = _log(name, httpx.ReadTimeout(""))
    assert line.startswith("the Prefect server does not answer (ReadTimeout): ")


@pytest.mark.parametrize("name", NAMES)
def test_a_defect_keeps_its_traceback(name: str) -> None:
    log_mendable_in_one_line()
    lines = _log(name, ZeroDivisionError("a defect"))
    assert lines[0].startswith("Encountered exception")
    assert lines[-1] == "ZeroDivisionError: a defect"
    assert len(lines) > 2
