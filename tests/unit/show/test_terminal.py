"""What a person sees of a run on the terminal, and what stands in a pipe."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from flows.live.terminal import View, _Lines
from tasks.publish.progress import Progress


class Clock:
    """A clock that tests move."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _shown(view: View, columns: int) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, record=True)
    console.print(view)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_the_view_shows_stages_steps_and_seconds_left_within_the_width(columns: int) -> None:
    clock = Clock()
    view = View(clock)
    view.on_progress("first", 2, "train_challenger", Progress(0, 0, ""))
    clock.now += 65
    view.on_progress("first", 2, "train_challenger", Progress(1, 1, "stages"))
    view.on_progress("first", 2, "sample_answers", Progress(3, 8, "shards", 41.0))
    view.on_line("a line of the log " * 20)
    lines = _shown(view, columns)
    assert max(len(line) for line in lines) <= columns
    assert lines[0].strip() == "first, iteration 2"
    assert lines[1].split() == ["✔", "train_challenger", "1", "min", "05", "s"]
    assert lines[2].split() == ["✔", "generate_questions"]
    assert lines[3].split()[:2] == ["●", "sample_answers"]
    assert lines[3].endswith("3 of 8 shards, about 41 s left")
    assert lines[4].split() == ["·", "score_and_filter"]
    assert lines[-1].startswith("a line of the log")


def test_a_new_iteration_begins_a_new_list(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View(Clock())
    assert "starting" in _shown(view, 80)[0]
    view.on_progress("first", 1, "evaluate", Progress(1, 1, "stages"))
    view.on_progress("first", 2, "train_challenger", Progress(0, 0, ""))
    lines = _shown(view, 80)
    assert "iteration 2" in lines[0]
    assert "✔" not in "\n".join(lines)
    assert lines[1].endswith("begun, for 0.0 s")


def _record(line: str, level: int = logging.INFO, path: str = "/rzero/flows/told.py") -> logging.LogRecord:
    return logging.LogRecord("prefect.flow_runs", level, path, 1, line, (), None)


def test_an_interrupt_is_one_line_and_no_crash_of_each_flow_and_task() -> None:
    import prefect

    told: list[str] = []
    lines = _Lines(lambda record, line: told.append(line[10:]))
    for message in (
        "Crash detected! Execution was aborted by an interrupt signal.",
        "Finished in state Crashed('Execution was aborted by an interrupt signal.')",
        "Crash detected! Execution was aborted by an interrupt signal.",
    ):
        lines.emit(_record(message, logging.ERROR, prefect.__file__))
    assert told == ["ending, as it was asked to"]


def test_a_pipe_has_the_lines_of_rzero_once_and_of_prefect_only_warnings() -> None:
    import prefect

    told: list[str] = []
    lines = _Lines(lambda record, line: told.append(line[10:]))
    for record in (
        _record("iteration 1: begins with train_challenger"),
        _record("iteration 1: begins with train_challenger"),
        _record("Created task run", path=f"{prefect.__file__}"),
        _record("it is slow", logging.WARNING, prefect.__file__),
        _record("red \x1b[31m", logging.ERROR),
    ):
        lines.emit(record)
    assert told == [
        "iteration 1: begins with train_challenger",
        "warning: it is slow",
        "error: red \\u001b[31m",
    ]
