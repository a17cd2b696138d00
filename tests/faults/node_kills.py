"""kill -9 of the worker, of the run it works on, or of both, at random moments of a deployment's run.

    python -m tests.faults.node_kills [--kills 6] [--seed 0]

After each kill the set-up is brought up again and the same `prefect deployment run` is started again, until
the iteration is finished. Part of `make faults`.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.kills import Unchanged, finished_files, manifests
from tests.support.deployed import ENDED, Deployed
from tests.support.killing import Victims, kill

VICTIMS: dict[str, Victims] = {"worker": "itself", "run": "started", "both": "all"}


class Nodes:
    """A deployment whose runs are killed, and what came of it."""

    def __init__(self, deployed: Deployed, wanted: dict[str, str], dice: random.Random) -> None:
        self.deployed = deployed
        self.wanted = wanted
        self.dice = dice

    def run_through(self, store: Path, run: str, victims: Sequence[str], files: int) -> None:
        """One run, killed once for each victim, then started once more and left alone.

        A moment is so many finished files of the `files` that the whole run leaves: it means the same on a
        machine that is busy with other things.
        """
        unchanged: Unchanged = {}
        begun: list[dict[str, Any]] = []
        for victim in victims:
            begun.append(self.deployed.flow_run(self.deployed.start_run(run, store)))
            self._work_until(
                begun[-1], store, run, self.dice.randint(min(len(unchanged), files - 1), files - 1)
            )
            kill(self.deployed.server.processes, "worker", VICTIMS[victim])
            unchanged = self._check(store, run, unchanged)
            print(f"{run}: {victim} killed at {len(unchanged)} of {files} finished files", flush=True)
            list(self.deployed.server.up())
        started = time.monotonic()
        last = self.deployed.flow_run(self.deployed.start_run(run, store, "--watch"))
        assert last["state_type"] == "COMPLETED", last
        ends = [self.deployed.end_of(each) for each in begun]
        self._check(store, run, unchanged)
        assert {name: made.digest for name, made in manifests(store, run).items()} == self.wanted
        seconds = time.monotonic() - started
        print(f"{run}: finished by the next start in {seconds:.0f} s; before: {', '.join(ends)}", flush=True)

    def _work_until(self, flow_run: dict[str, Any], store: Path, run: str, files: int) -> None:
        """Wait until the run has begun, and then for so many finished files, or for its end."""
        self.deployed.wait_until(
            lambda: self.deployed.state(flow_run) in ("RUNNING", *ENDED), "the begin of the run"
        )
        self.deployed.wait_until(
            lambda: len(finished_files(store, run)) >= files or self.deployed.state(flow_run) in ENDED,
            f"{files} finished files",
        )

    def _check(self, store: Path, run: str, unchanged: Unchanged) -> Unchanged:
        """No finished file was touched since the last look."""
        seen = finished_files(store, run)
        touched = [path for path, stat in unchanged.items() if seen.get(path) != stat]
        assert not touched, f"made twice: {touched}"
        assert not list(store.glob("runs/*/iteration=*/*/*/_damage.json")), "something was found damaged"
        return seen


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill at random moments; print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    os.environ.update(DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="rzero-node-kills-") as name:
        folder = Path(name)
        deployed = Deployed(folder / "server")
        try:
            list(deployed.server.up())
            deployed.start_run("small", folder / "undisturbed", "--watch")
            files = len(finished_files(folder / "undisturbed", "small"))
            print(f"undisturbed: {files} finished files; seed {options.seed}", flush=True)
            wanted = {
                stage: made.digest for stage, made in manifests(folder / "undisturbed", "small").items()
            }
            nodes = Nodes(deployed, wanted, dice)
            left = options.kills
            while left:
                victims = [dice.choice(list(VICTIMS)) for _ in range(min(left, dice.randint(1, 3)))]
                number = options.kills - left
                nodes.run_through(folder / f"store-{number}", f"lost-{number}", victims, files)
                left -= len(victims)
            print(f"kills: {options.kills}; finished files made twice: 0; damaged: 0; other digests: 0")
        finally:
            list(deployed.server.down())


if __name__ == "__main__":
    main()
