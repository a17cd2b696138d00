"""kill -9 of a run at chosen moments, resumed by the same command until it finishes.

The long version, with figures: `make faults` (50 kills), `make faults KILLS=200`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from infra.artifacts.artifact import WORK, Manifest
from infra.artifacts.parts import PartRecord
from infra.artifacts.runs import load_run
from infra.store.store import Store
from tasks.stage.walk import walk
from tests.support.small_run import SMALL_RUN

Unchanged = dict[Path, tuple[int, int]]
"""Files that no later attempt may touch: inode and time of the last change, in nanoseconds."""

LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Moment:
    """When to kill: `seconds` after `files` more files of the run match the pattern than at the start.

    Counted in files, a moment means the same on a machine that is busy with other things.
    """

    seconds: float
    pattern: str = "**/*"
    files: int = 1


@dataclass
class Attempt:
    """One start of the command; `stage` is the one that was unfinished when it ended."""

    was_killed: bool
    returncode: int
    output: str
    seconds: float
    stage: str


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
    """The files of every finished artifact and of every finished shard, by the path of the artifact's.

    A shard's file is moved, not changed, when its artifact is finished. Where a run still works, a file may
    move while it is looked at: then all is looked at again.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            return _finished_files(store, run)


def _finished_files(store: Path, run: str) -> Unchanged:
    found: dict[Path, Path] = {}
    for manifest in store.glob(f"runs/{run}/iteration=*/*/*/_manifest.json"):
        files = Manifest.model_validate_json(manifest.read_bytes()).files
        found |= {path: path for path in (manifest, *(manifest.parent / file.name for file in files))}
    work = store / "runs" / run / WORK
    for record in work.glob("iteration=*/*/*/parts/*.json"):
        part = PartRecord.model_validate_json(record.read_bytes())
        final = store / "runs" / run / record.parent.parent.relative_to(work) / part.name
        found |= {record: record, final: final if final.exists() else record.parent / part.source}
    return {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in found.items()}


def start(store: str, run: str, log: IO[str], more: Sequence[str] = ()) -> subprocess.Popen[str]:
    """The small run's command, in a process group of its own, with the Prefect server of this session."""
    from prefect.settings import get_current_settings

    overrides = [item for override in (*SMALL_RUN, *more) for item in ("--set", override)]
    command = [sys.executable, "-m", "flows.cli", "run", "--run", run, "--iterations", "1"]
    environment = os.environ | {"PREFECT_API_URL": str(get_current_settings().api.url)}
    return subprocess.Popen(
        [*command, "--store", store, *overrides],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def attempt(store: str, run: str, moment: Moment | None, more: Sequence[str] = ()) -> Attempt:
    """Start the command and kill it at the moment, unless it ends before; None lets it run."""
    begun = time.monotonic()
    folder = Path(store) / "runs" / run
    before = _files(folder, moment)
    with tempfile.TemporaryFile("w+") as log:
        process = start(store, run, log, more)
        try:
            if moment is not None:
                while _files(folder, moment) < before + moment.files and not _ends(process, LOOK_SECONDS):
                    pass
                if not _ends(process, moment.seconds):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        log.seek(0)
        output = log.read()
    was_killed = process.returncode == -signal.SIGKILL
    seconds = time.monotonic() - begun
    return Attempt(was_killed, process.returncode, output, seconds, unfinished_stage(store, run))


def _files(folder: Path, moment: Moment | None) -> int:
    try:
        return sum(1 for _ in folder.glob(moment.pattern)) if moment is not None else 0
    except FileNotFoundError:
        # A folder went while it was looked into: look again.
        return 0


def _ends(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the process ends within this time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def unfinished_stage(store: str, run: str) -> str:
    """The first stage that the store does not have; 'start' before the run has a configuration."""
    config = load_run(Store(store), run)
    if config is None:
        return "start"
    steps = walk(Store(store), config, 1)
    return next((step.stage for step in steps if step.ref is None), "end")


def random_moments(dice: random.Random, files: int, whole: Attempt, count: int) -> list[Moment]:
    """Moments within the first quarter of the files of a run, so that it is killed again and again."""
    pause = whole.seconds / files
    return [Moment(dice.uniform(0.0, 2 * pause), files=dice.randint(0, files // 4)) for _ in range(count)]


def run_through(
    store: Path, run: str, moments: Iterator[Moment], undisturbed: Path, more: Sequence[str] = ()
) -> list[Attempt]:
    """Kill and resume a run, with `more` settings, until it is finished, and check what must hold.

    No finished artifact or shard is touched by a later attempt; in the end every artifact has the digest of
    the undisturbed run 'small' in the store `undisturbed`.
    """
    attempts: list[Attempt] = []
    unchanged: Unchanged = {}
    while not attempts or attempts[-1].was_killed:
        attempts.append(attempt(str(store), run, next(moments, None), more))
        seen = finished_files(store, run)
        touched = [path for path, stat in unchanged.items() if seen.get(path) != stat]
        assert not touched, f"made twice: {touched}"
        unchanged = seen
    assert attempts[-1].returncode == 0, attempts[-1].output
    wanted = {name: manifest.digest for name, manifest in manifests(undisturbed, "small").items()}
    assert {name: manifest.digest for name, manifest in manifests(store, run).items()} == wanted
    assert not list(store.glob("runs/*/iteration=*/*/*/_damage.json")), "something was found damaged"
    return attempts


def report_lines(report: Report, undisturbed_seconds: float) -> list[str]:
    """The figures, for a person."""
    stages = Counter(attempt.stage for attempt in report.attempts if attempt.was_killed)
    total = sum(attempt.seconds for attempt in report.attempts)
    return [
        f"kills: {report.kills}, starts: {len(report.attempts)}, runs finished: {report.runs}",
        "killed in: " + ", ".join(f"{stage} {count}" for stage, count in stages.most_common()),
        "finished artifacts or shards made twice: 0; damaged: 0; artifacts with another digest: 0",
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
        files = len([*(undisturbed / "runs/small").rglob("*")])
        print(f"undisturbed: {first.seconds:.1f} s, {files} files; seed {options.seed}", flush=True)
        while report.kills < options.kills:
            moments = random_moments(dice, files, first, options.kills - report.kills)
            name = f"killed-{report.runs}"
            report.attempts += run_through(Path(folder) / name, name, iter(moments), undisturbed)
            report.runs += 1
            print(f"{name}: {report.kills} kills so far, all as it should be", flush=True)
        print("\n".join(report_lines(report, first.seconds)), flush=True)


if __name__ == "__main__":
    main()
