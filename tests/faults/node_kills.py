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
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from tests.deployed import Deployed
from tests.faults.kills import Unchanged, finished_files, manifests

Victim = Literal["worker", "run", "both"]
_WHAT: dict[Victim, Literal["itself", "started", "all"]] = {
    "worker": "itself",
    "run": "started",
    "both": "all",
}
_ENDED = ("COMPLETED", "CRASHED", "FAILED", "CANCELLED")


class Nodes:
    """A deployment whose runs are killed, and what came of it."""

    def __init__(self, deployed: Deployed, wanted: dict[str, str], dice: random.Random) -> None:
        self.deployed = deployed
        self.wanted = wanted
        self.dice = dice
        self.told: list[str] = []

    def run_through(self, store: Path, run: str, victims: Sequence[Victim], span_seconds: float) -> None:
        """One run, killed once for each victim, then started once more and left alone."""
        unchanged: Unchanged = {}
        begun: list[dict[str, Any]] = []
        for victim in victims:
            begun.append(self.deployed.flow_run(self.deployed.start_run(run, store)))
            self._wait_for_work(begun[-1])
            seconds = self.dice.uniform(0.0, span_seconds)
            # A random moment: nothing is waited for but the clock.
            threading.Event().wait(seconds)
            self.deployed.server.processes.kill("worker", _WHAT[victim])
            stages = len(manifests(store, run))
            unchanged = self._check(store, run, unchanged)
            self.told.append(f"{run}: {victim} killed after {seconds:.1f} s, {stages} stages finished")
            print(self.told[-1], flush=True)
            list(self.deployed.server.up())
        started = time.monotonic()
        last = self.deployed.flow_run(self.deployed.start_run(run, store, "--watch"))
        assert last["state_type"] == "COMPLETED", last
        self.deployed.wait_until(
            lambda: all(self._ended(each) for each in begun), "the end of the killed runs"
        )
        states = [self.deployed.ask(f"flow_runs/{each['id']}")["state_type"] for each in begun]
        self._check(store, run, unchanged)
        assert {name: made.digest for name, made in manifests(store, run).items()} == self.wanted
        seconds = time.monotonic() - started
        print(
            f"{run}: finished by the next start in {seconds:.0f} s; before: {', '.join(states)}", flush=True
        )

    def _wait_for_work(self, flow_run: dict[str, Any]) -> None:
        """Wait until the worker has begun the run, or waits for the slot of one that is still alive."""

        def is_begun() -> bool:
            state = self.deployed.ask(f"flow_runs/{flow_run['id']}")
            return (
                state["state_type"] in ("RUNNING", *_ENDED)
                or state["state_name"] == "AwaitingConcurrencySlot"
            )

        self.deployed.wait_until(is_begun, "the begin of the run")

    def _ended(self, flow_run: dict[str, Any]) -> bool:
        return self.deployed.ask(f"flow_runs/{flow_run['id']}")["state_type"] in _ENDED

    def _check(self, store: Path, run: str, unchanged: Unchanged) -> Unchanged:
        """No finished file was touched since the last look."""
        seen = finished_files(store, run)
        touched = [path for path, stat in unchanged.items() if seen.get(path) != stat]
        assert not touched, f"made twice: {touched}"
        assert not list(store.glob("runs/*/iteration=*/*/*.damaged-*")), "something was found damaged"
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
            begun = time.monotonic()
            deployed.start_run("small", folder / "undisturbed", "--watch")
            seconds = time.monotonic() - begun
            print(f"undisturbed: {seconds:.0f} s; seed {options.seed}", flush=True)
            wanted = {
                stage: made.digest for stage, made in manifests(folder / "undisturbed", "small").items()
            }
            nodes = Nodes(deployed, wanted, dice)
            left = options.kills
            while left:
                victims = [dice.choice(get_args(Victim)) for _ in range(min(left, dice.randint(1, 3)))]
                number = options.kills - left
                nodes.run_through(folder / f"store-{number}", f"lost-{number}", victims, 0.9 * seconds)
                left -= len(victims)
            print(f"kills: {options.kills}; finished files made twice: 0; damaged: 0; other digests: 0")
        finally:
            list(deployed.server.down())


if __name__ == "__main__":
    main()
