"""kill -9, as when a machine is gone."""

from __future__ import annotations

from typing import Literal

from infra.deploy.processes import Processes, kill_and_wait, with_descendants

Victims = Literal["all", "itself", "started"]
"""Of a process and what it has started: both, or one of the two."""


def kill(processes: Processes, name: str, what: Victims = "all") -> None:
    """kill -9 of a running process and of all that it has started, or of one of the two."""
    pid = processes.detail(name, "pid")
    found = with_descendants(pid)
    if what == "itself":
        found = {pid: found[pid]}
    elif what == "started":
        del found[pid]
    kill_and_wait(found)
