"""What a running flow shows on the terminal: a live view to a person, plain lines to a pipe or a file."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import prefect
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from data.foreign import visible
from flows.text import duration, say
from infra import run_log
from tasks.publish.progress import Progress, listeners
from tasks.stage.graph import stage_names

if TYPE_CHECKING:
    from rich.console import RenderableType

_PREFECT = str(Path(prefect.__file__).parent)
_SERVER = "Starting temporary server"
_ABORTED = re.compile(r"Execution was aborted by an? (interrupt|termination) signal")
_BAR = 24


class View:
    """The stages of the iteration at work, how far they are, and the newest line of the log."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._at: tuple[str, int] | None = None
        self._stages: dict[str, tuple[Progress, float]] = {}
        """Of each stage that has begun: its progress, and when it began or how long it took."""
        self._newest = ""

    def on_progress(self, run: str, iteration: int, stage: str, progress: Progress) -> None:
        """Take in what a stage tells of itself."""
        if self._at != (run, iteration):
            self._at, self._stages = (run, iteration), {}
        told = self._stages.get(stage)
        since = self._clock() if told is None else told[1]
        if told is None or not told[0].is_finished:
            self._stages[stage] = (progress, self._clock() - since if progress.is_finished else since)

    def on_line(self, line: str) -> None:
        """Take in a line of the log."""
        self._newest = line

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        elapsed = duration(self._clock() - self._began)
        if self._at is None:
            table.add_row("", f"starting, {elapsed}")
        else:
            run, iteration = self._at
            names = stage_names(iteration)
            reached = max((names.index(name) for name in self._stages), default=-1)
            table.add_row(
                "", Text(f"{run}, {'base model' if iteration == 0 else f'iteration {iteration}'}", "bold")
            )
            for number, name in enumerate(names):
                table.add_row(*self._row(name, is_over=number < reached))
        outer = Table.grid()
        outer.add_column(no_wrap=True, overflow="ellipsis")
        outer.add_row(table)
        outer.add_row(Text(self._newest, "dim", no_wrap=True, overflow="ellipsis"))
        return outer

    def _row(self, name: str, is_over: bool) -> tuple[RenderableType, ...]:
        if name not in self._stages:
            return ("✔", name) if is_over else ("·", Text(name, "dim"))
        progress, time = self._stages[name]
        if progress.is_finished:
            return Text("✔", "green"), name, "", str(duration(time))
        bar = ProgressBar(progress.total or None, progress.done, _BAR, pulse=not progress.total)
        left = progress.seconds_left
        told = "begun" if not progress.total else str(progress)
        more = f"about {duration(left)} left" if left is not None else f"for {duration(self._clock() - time)}"
        return Text("●", "yellow"), name, bar, f"{told}, {more}"


class _Lines(logging.Handler):
    """Lines of rzero, and of Prefect what is a warning or worse; once where several flows say the same."""

    def __init__(self, show: Callable[[logging.LogRecord, str], None]) -> None:
        super().__init__()
        self._show = show
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.pathname.startswith(_PREFECT) and record.levelno < logging.WARNING:
            if not text.startswith(_SERVER):
                return
            text = text.splitlines()[0]
        is_aborted = _ABORTED.search(text) is not None
        if is_aborted:
            # Prefect calls it a crash, of each flow and task.
            text = "ending, as it was asked to"
        if text == self._last:
            return
        self._last = text
        is_plain = is_aborted or record.levelno < logging.WARNING
        level = "" if is_plain else f"{record.levelname.lower()}: "
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        lines = [visible(line, len(line)) for line in text.splitlines()]
        self._show(record, "\n".join([f"{stamp}  {level}{lines[0] if lines else ''}", *lines[1:]]))


@contextmanager
def told_on_terminal() -> Iterator[None]:
    """Show what runs in this block. Who has configured Prefect's logging otherwise gets what that says."""
    root = logging.getLogger()
    replaced = [handler for handler in root.handlers if isinstance(handler, PrefectConsoleHandler)]
    if not replaced:
        yield
        return
    console = Console(stderr=True, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        with _live(console) as show, _handled(root, replaced, _Lines(show)):
            yield
    else:
        with _handled(root, replaced, _Lines(lambda record, line: _say_lines(line))):
            yield


def _say_lines(text: str) -> None:
    for line in text.splitlines():
        say(line, err=True)


@contextmanager
def _handled(
    root: logging.Logger, replaced: list[PrefectConsoleHandler], by: logging.Handler
) -> Iterator[None]:
    for handler in replaced:
        root.removeHandler(handler)
    root.addHandler(by)
    try:
        yield
    finally:
        root.removeHandler(by)
        for handler in replaced:
            # What Prefect says while it ends is no news to anybody.
            handler.setLevel(logging.WARNING)
            root.addHandler(handler)


@contextmanager
def _live(console: Console) -> Iterator[Callable[[logging.LogRecord, str], None]]:
    view = View()
    listeners.append(view.on_progress)
    try:
        with Live(view, console=console, transient=True, refresh_per_second=4):

            def show(record: logging.LogRecord, line: str) -> None:
                # What a stage says of its steps is in the view; the story stays on the screen.
                of_steps = record.name == "prefect.task_runs" and record.pathname != run_log.__file__
                if of_steps and record.levelno < logging.WARNING:
                    view.on_line(line)
                else:
                    console.print(Text(line), soft_wrap=False)

            yield show
    finally:
        listeners.remove(view.on_progress)
