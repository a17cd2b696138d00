"""Seconds of a GRPO step of the trainer `local` against TRL's: the same model, prompts and settings.

    make bench-trl
    python -m tests.benchmarks.bench_grpo [MODEL_DIR] --trl-python .venv-trl/bin/python

Without a directory a tiny model is pre-trained first, briefly; without `--trl-python` ours is measured
alone. The two take their steps in turn, each while the other waits; the first step of each is left out.
Both compute in float32, with the same threads, and see all prompts in every step; the reward is a coin that
the completion's text decides, so that nothing is learnt and the lengths stay. Seconds are given by the clock
and by processor time, which tells more where other programs run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from data.backends import LocalTrainerConfig
from data.config import GrpoConfig
from data.resolve import resolve
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from tests.benchmarks.tiny_model import pretrain_briefly, solver_prompts
from tests.support.folder_checkpoints import FolderCheckpoints

CASES: dict[str, dict[str, int]] = {
    "64 x 8, to 48 tokens": {"prompts_per_step": 64, "group_size": 8, "max_tokens": 48},
    "as the preset tiny": {},
}
"""Batches, as they differ from the Solver's in the preset `tiny`."""
TERMS = 8
"""Of the longest sum asked, as in the preset."""
PARTS = ("sampling", "grading", "update", "  forward", "    of the reference", "  backward", "  optimiser")


class Step(NamedTuple):
    """What one step took, and the mean tokens of its completions."""

    wall_seconds: float
    processor_seconds: float
    tokens: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Seconds of a GRPO step against TRL's.")
    parser.add_argument("model", nargs="?", type=Path, help="a Hugging Face directory of the tiny model")
    parser.add_argument("--trl-python", help="the Python of an environment with TRL")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--training-steps", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            model = Path(folder, "model")
            pretrain_briefly(model, options.training_steps, options.threads)
        for number, (case, changes) in enumerate(CASES.items()):
            steps = {"steps": options.steps, "checkpoint_every_steps": options.steps}
            settings = resolve("bench").solver.model_dump(include=set(GrpoConfig.model_fields))
            config = GrpoConfig.model_validate(settings | steps | changes)
            _compare(case, model, config, Path(folder, str(number)), options)


def _compare(case: str, model: Path, config: GrpoConfig, work: Path, options: argparse.Namespace) -> None:
    prompts = solver_prompts(config.prompts_per_step, TERMS)
    job = TrainingJob("solver", model, prompts, config, 7, work / "out")
    theirs: list[Step] = []
    parts = Parts()
    with ExitStack() as stack:
        peer = stack.enter_context(_trl(job, work, options)) if options.trl_python else None

        def take_turn() -> None:
            if peer is not None:
                theirs.append(peer())

        ours = _ours(job, work, options.threads, parts, take_turn)
    print(f"{case}: {config.prompts_per_step} prompts, {config.group_size} rollouts of each")
    _print("rzero", ours[1:])
    if theirs:
        _print("TRL", theirs[1:])
        ratios = [_median(theirs[1:], kind) / _median(ours[1:], kind) for kind in (0, 1)]
        print(f"  TRL / rzero: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} by processor time")
    for name in PARTS:
        print(f"  {name:20}{parts.seconds.get(name, 0.0) / (len(ours) - 1):6.3f} s a step")


def _median(steps: Sequence[Step], kind: int) -> float:
    return statistics.median(step[kind] for step in steps)


def _print(name: str, steps: Sequence[Step]) -> None:
    wall, processor, tokens = (_median(steps, kind) for kind in range(3))
    print(
        f"  {name:6} {wall:6.3f} s a step, {processor:6.3f} of processor time; {tokens:.1f} tokens a rollout"
    )


def _reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
    return [ScoredRollout(float(zlib.crc32(rollout.completion.text.encode()) % 2)) for rollout in rollouts]


def _ours(
    job: TrainingJob, work: Path, threads: int, parts: Parts, take_turn: Callable[[], object]
) -> list[Step]:
    from infra.trainers.local import LocalTrainer

    steps: list[Step] = []
    started = time.perf_counter(), time.process_time()

    def report(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal started
        wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
        steps.append(Step(wall, processor, metrics["completion_tokens_mean"]))
        if step == 1:
            parts.seconds.clear()
        take_turn()
        started = time.perf_counter(), time.process_time()

    with parts.timed():
        trainer = LocalTrainer(LocalTrainerConfig(device="cpu", threads=threads))
        trainer.train(job, _reward, FolderCheckpoints(work / "store"), report)
    return steps


class Parts:
    """What a step's time is made of, by the clock. A part within another counts in both; those within the
    update, which threads share, add up over the threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time the functions of the trainer while this lasts."""
        import torch

        from infra.trainers import local
        from infra.trainers.update import Learner

        with ExitStack() as stack:
            for name, owner, function in (
                ("sampling", local, "complete"),
                ("grading", local, "scored"),
                ("update", Learner, "update"),
                ("  forward", Learner, "_loss"),
                ("    of the reference", Learner, "_kl"),
                ("  backward", torch.Tensor, "backward"),
                ("  backward", torch.autograd, "grad"),
                ("  optimiser", torch.optim.AdamW, "step"),
            ):
                stack.enter_context(self._timed(name, owner, function))
            yield

    @contextmanager
    def _timed(self, name: str, owner: Any, function: str) -> Iterator[None]:
        plain = getattr(owner, function)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                with self._lock:
                    self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

        setattr(owner, function, timed)
        try:
            yield
        finally:
            setattr(owner, function, plain)


@contextmanager
def _trl(job: TrainingJob, work: Path, options: argparse.Namespace) -> Iterator[Callable[[], Step]]:
    """A TRL that takes one step at each call."""
    work.mkdir(parents=True)
    spec = {
        "model": str(job.model_dir),
        "prompts": list(job.prompts),
        "grpo": job.config.model_dump(),
        "steps": job.config.steps,
        "threads": options.threads,
        "output_dir": str(work / "trl"),
    }
    child = Path(__file__).with_name("trl_child.py")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(options.threads)}
    with (
        open(work / "stderr", "w+") as errors,
        subprocess.Popen(
            [options.trl_python, str(child), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def step() -> Step:
            print(file=asks, flush=True)
            line = answers.readline()
            if not line:
                raise SystemExit(f"TRL failed:\n{(work / 'stderr').read_text()[-4000:]}")
            return Step(*json.loads(line))

        yield step


if __name__ == "__main__":
    main()
