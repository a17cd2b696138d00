"""The device job's own process: `python -m infra.jobs.child JOB.json`.

The job file names an entry, "package.module:function", and its specification. The function is called
with the specification and a `Channel`; what it returns goes to the parent as "done". Standard output and
error are the job's log. The channel is a pair of pipes with JSON lines: requests in, messages out. When the
parent is gone, all processes of the job are ended at once.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from infra.jobs.channel import Channel
from infra.jobs.errors import DeviceSetupError
from infra.jobs.reap import FD_VARIABLE
from infra.models.check import ModelDirectoryError


def main(job_file: str) -> int:
    """Run the job; the exit code."""
    requests_fd = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    # The job's own children must not read the requests.
    os.dup2(null, 0)
    messages_fd = int(os.environ.pop(FD_VARIABLE))
    os.set_inheritable(messages_fd, False)
    channel = Channel(requests_fd, messages_fd, Path(job_file).parent)
    job = json.loads(Path(job_file).read_text())
    try:
        module, _, name = job["entry"].partition(":")
        result = getattr(importlib.import_module(module), name)(job["spec"], channel)
        channel.say("done", result=result)
        return 0
    except ModuleNotFoundError as error:
        message = f"{sys.executable} has no package {(error.name or str(error)).split('.')[0]!r}"
        channel.say("failed", problem="setup", message=message)
    except (DeviceSetupError, ModelDirectoryError) as error:
        channel.say("failed", problem="setup", message=str(error))
    except BaseException as error:
        traceback.print_exc()
        channel.say("failed", problem="crash", message=f"{type(error).__name__}: {_one_line(error)}")
    return 1


def _one_line(error: BaseException) -> str:
    """The message, or its last line if it contains a traceback, as Ray's do."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(" ".join(lines if len(lines) < 4 else lines[-1:]).split())[:600]


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    # Engines leave threads and children that would keep the interpreter alive; the parent ends the children.
    with contextlib.suppress(OSError):
        os.close(1)
    os._exit(code)
