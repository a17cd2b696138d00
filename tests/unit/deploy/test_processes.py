"""Processes that outlive their starter: found again, ended whole, never taken for another."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from infra.deploy.processes import NotReady, Processes

# Ends only when it is told to; its child does not listen to that.
PARENT = """
import pathlib, signal, subprocess, sys
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
signal.pause()
"""

# Its first thread ends and leaves a zombie, as in the moment after kill -9; another one still holds the port.
HALF_GONE = """
import ctypes, pathlib, socket, sys, threading, time
listens = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(600,)).start()
pathlib.Path(sys.argv[1]).write_text(str(listens.getsockname()[1]))
ctypes.CDLL(None).pthread_exit(None)
"""


def _started(processes: Processes, name: str, command: list[str], cwd: Path) -> None:
    processes.start(name, command, cwd, os.environ, port=7)


def test_a_process_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    processes, child = Processes(tmp_path), tmp_path / "child"
    _started(processes, "one", [sys.executable, "-c", PARENT, str(child)], tmp_path)
    processes.wait_until("one", child.exists, 60)
    assert Processes(tmp_path).is_running("one")
    assert processes.detail("one", "port") == 7
    assert processes.stop("one")
    assert not processes.is_running("one")
    stat = Path(f"/proc/{child.read_text()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"
    assert not processes.stop("one")


def test_another_process_with_the_same_id_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text(json.dumps({"one": {"pid": os.getpid(), "started": "earlier"}}))
    processes = Processes(tmp_path)
    assert not processes.is_running("one")
    assert not processes.stop("one")


def test_a_process_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    _started(processes, "one", [sys.executable, "-c", "raise SystemExit('no database')"], tmp_path)
    with pytest.raises(NotReady, match="no database"):
        processes.wait_until("one", lambda: False, 60)


def test_a_process_that_ended_before_its_start_was_noted_does_not_run(tmp_path: Path) -> None:
    gone = {"pid": 2**22 + 1, "started": None}
    (tmp_path / "processes.json").write_text(json.dumps({"one": gone}))
    assert not Processes(tmp_path).is_running("one")


def test_a_damaged_list_of_processes_means_that_none_is_known(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text("{")
    assert not Processes(tmp_path).is_running("one")


def test_a_process_runs_until_the_last_of_its_threads_has_ended(tmp_path: Path) -> None:
    processes, port = Processes(tmp_path), tmp_path / "port"
    _started(processes, "one", [sys.executable, "-c", HALF_GONE, str(port)], tmp_path)
    stat = Path(f"/proc/{processes.detail('one', 'pid')}/stat")
    processes.wait_until("one", lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z", 60)
    assert processes.is_running("one")
    assert processes.stop("one", timeout_seconds=0.0)
    socket.create_server(("127.0.0.1", int(port.read_text()))).close()
