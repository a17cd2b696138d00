"""kill -9 of a run at chosen moments, resumed by the same command until it finishes.

The long version, with figures: `make faults` (50 kills), `make faults KILLS=200`.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.artifacts.artifact import Manifest
from infra.artifacts.damage import PARTS
from tests.support.small_run import SMALL_RUN

Unchanged = dict[Path, tuple[int, int]]
"""Files that no later attempt may touch: inode and time of the last change, in nanoseconds."""

_STAGE_LINE = re.compile(
    r"(prepare_base_model|train_challenger|generate_questions|sample_answers|score_and_filter|train_solver"
    r"|evaluate)(?:_part)?\b"
)
_STEP_LINE = re.compile(r"(train_challenger|train_solver): step (\d+)/")


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after the line of this number, or the first one that holds this text.

    Counted in lines, the moments mean the same on a machine that is busy with other things.
    """

    seconds: float
    line: int | str


@dataclass
class Attempt:
    """One start of the command."""

    was_killed: bool
    returncode: int
    output: str
    seconds: float

    @property
    def stage(self) -> str:
        """The stage that the last line of the log speaks of; 'start' before the first."""
        found = _STAGE_LINE.findall(self.output)
        return found[-1] if found else "start"


@dataclass
class Report:
    """What the kills did."""

    attempts: list[Attempt] = field(default_factory=list)
    runs: int = 0

    @property
    def kills(self) -> int:
        """Attempts that were killed."""
        return sum(attempt.was_killed for attempt in self.attempts)


def manifests(store: Path, run: str) -> dict[str, Manifest]:
    """Manifests by 'iteration=K/stage'; no stage has two."""
    found: dict[str, Manifest] = {}
    for path in sorted(store.glob(f"runs/{run}/iteration=*/*/*/_manifest.json")):
        name = "/".join(path.parts[-4:-2])
        assert name not in found, f"two artifacts of {name}"
        found[name] = Manifest.model_validate_json(path.read_bytes())
    return found


def finished_files(store: Path, run: str) -> Unchanged:
    """The files of every finished artifact and of every finished shard."""
    found = []
    for manifest in store.glob(f"runs/{run}/iteration=*/*/*/_manifest.json"):
        files = Manifest.model_validate_json(manifest.read_bytes()).files
        found += [manifest, *(manifest.parent / file.name for file in files)]
    for record in store.glob(f"runs/{run}/iteration=*/*/*/{PARTS}/*.json"):
        found += [record, record.parent.parent / f"{record.stem}.parquet"]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def start(store: str, run: str) -> subprocess.Popen[str]:
    """The small run's command, in a process group of its own, with the Prefect server of this session."""
    from prefect.settings import get_current_settings

    overrides = [item for override in SMALL_RUN for item in ("--set", override)]
    command = [sys.executable, "-m", "flows.cli", "run", "--run", run, "--iterations", "1"]
    environment = os.environ | {
        "PREFECT_API_URL": str(get_current_settings().api.url),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [*command, "--store", store, *overrides],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def attempt(store: str, run: str, moment: Moment | None) -> Attempt:
    """Start the command and kill it at the moment, unless it ends before; None lets it run."""
    begun = time.monotonic()
    process = start(store, run)
    lines: list[str] = []
    reached = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if moment is not None and moment.line in (len(lines), *_texts(moment, line)):
                reached.set()
        reached.set()

    reader = threading.Thread(target=read)
    reader.start()
    was_killed = False
    try:
        if moment is not None:
            if moment.line != 0:
                reached.wait()
            try:
                process.wait(moment.seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        was_killed = process.returncode == -signal.SIGKILL
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        reader.join()
    return Attempt(was_killed, process.returncode, "".join(lines), time.monotonic() - begun)


def _texts(moment: Moment, line: str) -> list[str]:
    return [moment.line] if isinstance(moment.line, str) and moment.line in line else []


def random_moments(dice: random.Random, whole: Attempt, count: int) -> list[Moment]:
    """Moments within the first quarter of what an attempt prints, so that a run is killed again and again."""
    lines = whole.output.count("\n")
    pause = whole.seconds / lines
    return [Moment(dice.uniform(0.0, 2 * pause), dice.randint(0, lines // 4)) for _ in range(count)]


def run_through(store: Path, run: str, moments: Iterator[Moment], undisturbed: Path) -> list[Attempt]:
    """Kill and resume a run until it is finished, and check what must hold.

    No finished artifact or shard is touched by a later attempt; in the end every artifact has the digest of
    the undisturbed run 'small' in the store `undisturbed`.
    """
    attempts: list[Attempt] = []
    unchanged: Unchanged = {}
    while not attempts or attempts[-1].was_killed:
        attempts.append(attempt(str(store), run, next(moments, None)))
        seen = finished_files(store, run)
        touched = [path for path, stat in unchanged.items() if seen.get(path) != stat]
        assert not touched, f"made twice: {touched}"
        unchanged = seen
    assert attempts[-1].returncode == 0, attempts[-1].output
    wanted = {name: manifest.digest for name, manifest in manifests(undisturbed, "small").items()}
    assert {name: manifest.digest for name, manifest in manifests(store, run).items()} == wanted
    assert not list(store.glob("runs/*/iteration=*/*/*.damaged-*")), "something was found damaged"
    return attempts


def report_lines(report: Report, undisturbed_seconds: float) -> list[str]:
    """The figures, for a person."""
    stages = Counter(attempt.stage for attempt in report.attempts if attempt.was_killed)
    steps = Counter(
        step
        for each in report.attempts
        for step in {match.groups() for match in _STEP_LINE.finditer(each.output)}
    )
    per_run = len(steps) * report.runs
    total = sum(attempt.seconds for attempt in report.attempts)
    return [
        f"kills: {report.kills}, starts: {len(report.attempts)}, runs finished: {report.runs}",
        "killed in: " + ", ".join(f"{stage} {count}" for stage, count in stages.most_common()),
        "finished artifacts or shards made twice: 0; damaged: 0; artifacts with another digest: 0",
        f"training steps reported: {sum(steps.values())}, without kills {per_run}",
        f"seconds: undisturbed {undisturbed_seconds:.1f} a run, with kills {total / report.runs:.1f} a run",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill runs at random moments until there were enough kills; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    os.environ.update(DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")
    from prefect.testing.utilities import prefect_test_harness

    dice = random.Random(options.seed)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="rzero-kills-") as folder, prefect_test_harness(120):
        undisturbed = Path(folder) / "undisturbed"
        first = attempt(str(undisturbed), "small", None)
        assert first.returncode == 0, first.output
        print(f"undisturbed: {first.seconds:.1f} s; seed {options.seed}", flush=True)
        while report.kills < options.kills:
            moments = random_moments(dice, first, options.kills - report.kills)
            name = f"killed-{report.runs}"
            report.attempts += run_through(Path(folder) / name, name, iter(moments), undisturbed)
            report.runs += 1
            print(f"{name}: {report.kills} kills so far, all as it should be", flush=True)
        print("\n".join(report_lines(report, first.seconds)), flush=True)


if __name__ == "__main__":
    main()
