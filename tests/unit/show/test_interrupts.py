"""A command that a signal ends says what is kept and how it goes on, and leaves the terminal as it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest
from prefect.settings import get_current_settings

_COMMAND = """
import os, signal, sys
import flows.errors, flows.evolve
with flows.errors.resumable_work("to go on: rzero run --run a"):
    os.kill(os.getpid(), int(sys.argv[1]))
    signal.pause()
"""


def _shown_on_a_terminal(number: signal.Signals) -> tuple[int, str]:
    """The exit status of a command that shows what runs and gets the signal, and what the terminal got."""
    ours, theirs = pty.openpty()
    # A server that is there already: none is started.
    api = get_current_settings().api
    environment = os.environ | {"PREFECT_API_URL": str(api.url), "TERM": "xterm-256color"}
    if api.auth_string:
        environment["PREFECT_API_AUTH_STRING"] = api.auth_string.get_secret_value()
    command = [sys.executable, "-c", _COMMAND, str(int(number))]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    return process.returncode, shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Its last process has ended.
        return b""


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 128 + signal.SIGINT, "interrupted"),
        (signal.SIGTERM, -signal.SIGTERM, "terminated"),
    ],
)
def test_a_signal_ends_with_one_line_and_the_cursor_is_back(
    number: signal.Signals, status: int, word: str
) -> None:
    code, shown = _shown_on_a_terminal(number)
    assert code == status, shown
    assert "\x1b[?25l" in shown
    after = shown.rpartition("\x1b[?25h")[2]
    assert f"rzero: {word}; finished work is kept; to go on: rzero run --run a" in after
    assert "Traceback" not in shown
