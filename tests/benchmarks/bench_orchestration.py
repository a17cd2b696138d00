"""What the pipeline costs beside its work: a whole run, a resume of one with nothing to do.

    python -m tests.benchmarks.bench_orchestration [--preset tiny] [--iterations 1] [--set KEY=VALUE …]

Prints, of one run in a process of its own server: the wall time of the flow, the time during which at least
one stage was at work, and the rest, which is orchestration. Then how long the same command takes when all
is finished, and how long the flow takes when every task is found in the cache.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.small_run import SMALL_RUN

MINUTE = 60.0


def busy_seconds(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds covered by at least one span; shards overlap."""
    busy, end = 0.0, float("-inf")
    for begun, ended in sorted(spans):
        busy += max(0.0, ended - max(begun, end))
        end = max(end, ended)
    return busy


class Clock:
    """The spans of time in which a stage's own body was at work."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def watch(self) -> None:
        """Time every body, from now on: it runs between the look into the store and the commit."""
        from tasks.stage import task as stage_module

        real = stage_module.Work

        class Timed(real):  # type: ignore[misc, valid-type]
            """A Work that knows when it was begun and when it was committed."""

            def __init__(work, *arguments: object) -> None:
                super().__init__(*arguments)
                work.begun = time.monotonic()

            def commit(work, inputs: object) -> object:
                self.spans.append((work.begun, time.monotonic()))
                return super().commit(inputs)

            def commit_part(work, part: int) -> object:
                self.spans.append((work.begun, time.monotonic()))
                return super().commit_part(part)

        stage_module.Work = Timed  # type: ignore[misc]


def timed_flow(store: str, preset: str, iterations: int, overrides: dict[str, str]) -> float:
    """Wall seconds of the flow."""
    from flows.evolve import evolve

    begun = time.monotonic()
    evolve(run="bench", preset=preset, iterations=iterations, store=store, overrides=overrides)
    return time.monotonic() - begun


def command_seconds(store: str, preset: str, iterations: int, overrides: dict[str, str]) -> float:
    """Wall seconds of `rzero run` on the finished run."""
    command = [sys.executable, "-m", "flows.cli", "run", "--run", "bench", "--store", store, "--json"]
    command += ["--preset", preset, "--iterations", str(iterations)]
    command += [item for key, value in overrides.items() for item in ("--set", f"{key}={value}")]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - begun
    assert "no stage was executed" in done.stderr, done.stderr
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--set", dest="overrides", action="append", default=None, metavar="KEY=VALUE")
    options = parser.parse_args()
    os.environ.update(DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")
    overrides = dict(each.split("=", 1) for each in options.overrides or SMALL_RUN)
    from prefect.testing.utilities import prefect_test_harness

    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="rzero-bench-") as folder:
        begun = time.monotonic()
        with prefect_test_harness(server_startup_timeout=300), contextlib.redirect_stderr(io.StringIO()):
            server = time.monotonic() - begun
            asked = (str(Path(folder) / "store"), options.preset, options.iterations, overrides)
            clock = Clock()
            clock.watch()
            wall = timed_flow(*asked)
            busy, tasks = busy_seconds(clock.spans), len(clock.spans)
            cached = timed_flow(*asked)
            command = command_seconds(*asked)
    beside = wall - busy
    each = beside / tasks
    print(f"start of Prefect's own server      {server:8.1f} s")
    print(f"run, wall time of the flow         {wall:8.1f} s, {tasks} tasks")
    print(f"  inside stages                    {busy:8.1f} s")
    print(
        f"  orchestration                    {beside:8.1f} s = {beside / wall:.1%} of it, {each:.2f} s a task"
    )
    print(f"  were each task a minute long     {each / (each + MINUTE):8.2%}")
    print(f"resume with nothing to do: command {command:8.1f} s, imports included; Prefect is not started")
    print(f"the flow with every task cached    {cached:8.1f} s")


if __name__ == "__main__":
    main()
