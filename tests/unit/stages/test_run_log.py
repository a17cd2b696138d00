"""What rzero logs outside of stages stands in the log of the run that it works for."""

from __future__ import annotations

import logging

from infra.run_log import follow_runs


class Kept(logging.Handler):
    """The lines of a logger with the flow runs that they belong to."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((getattr(record, "flow_run_id", ""), record.getMessage(), record.levelno))


def test_a_line_of_the_store_stands_in_the_log_of_the_run_that_it_works_for(prefect_server: None) -> None:
    from prefect import flow
    from prefect.runtime import flow_run

    @flow
    def works() -> str:
        logging.getLogger("rzero.store").info("waits for %s", "train_solver")
        return str(flow_run.id)

    follow_runs()
    follow_runs()
    kept, log = Kept(), logging.getLogger("prefect.flow_runs")
    log.addHandler(kept)
    try:
        run = works()
    finally:
        log.removeHandler(kept)
    assert kept.lines.count((run, "waits for train_solver", logging.INFO)) == 1


def test_without_a_run_it_stands_where_the_terminals_lines_are() -> None:
    follow_runs()
    kept = Kept()
    logging.getLogger().addHandler(kept)
    try:
        logging.getLogger("rzero.store").warning("a file is damaged")
    finally:
        logging.getLogger().removeHandler(kept)
    assert kept.lines == [("", "a file is damaged", logging.WARNING)]
