"""Seconds of a training step of the trainer `verl` against bare verl: the same model, batch and settings.

    export RZERO_COMPUTE_PYTHON=.venv-verl/bin/python
    python -m tests.benchmarks.bench_verl MODEL [STEPS [PROMPTS [TURNS]]]

Bare verl is `run_ppo` with verl's own agent loop, its own reward manager and a reward function in a file.
Both run in turn, TURNS times each, and are compared by `timing_s/step`, the first step of each left out.
Checkpoints are not counted: bare verl saves none. Below, the medians of a step's parts, by verl's own clock,
and of the tokens that it trained on, since both draw other rollouts.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from data.backends import VerlTrainerConfig
from data.config import GrpoConfig
from infra.jobs.process import QUIET, interpreter
from infra.jobs.reap import JOB_VARIABLE
from infra.machine.gpus import chosen_gpus
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from infra.trainers.verl.cluster import Paths, cluster_of
from infra.trainers.verl.settings import verl_settings
from infra.trainers.verl.trainer import VerlTrainer, write_prompts
from tests.support.folder_checkpoints import FolderCheckpoints

GROUP_SIZE, TOKENS, SEED = 4, 48, 7
OURS = ("actor_rollout_ref.rollout.agent.", "reward.", "trainer.v1.sampler.", "+rzero.")
"""Settings that bare verl goes without: rzero's own agent loop and reward."""
TOKENS_TRAINED = "perf/total_num_tokens"
STEP = "timing_s/step"
ROOT = Path(__file__).resolve().parents[2]

REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return solution_str.count("4") / 24
"""
# What a prompt reads as, with no template around it, as rzero hands it over.
PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"

BARE = """
import json, os, sys

if __name__ == "__main__":
    spec = json.load(open(sys.argv[1]))
    from infra.trainers.verl.child import compose
    if spec["cpu"]:
        from infra.ray.joined import wait_longer_for_ray
        wait_longer_for_ray()
    from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
    from verl.utils.device import auto_set_device
    config = compose(spec["settings"])
    auto_set_device(config)
    from infra.jobs.reap import JOB_VARIABLE, end_processes
    try:
        run_ppo(config, task_runner_class=TaskRunnerV1)
    finally:
        # Bare verl would leave its engines' shared memory behind, and the end of its processes to Ray.
        end_processes(os.environ[JOB_VARIABLE], 20.0)
"""


def _reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
    return [ScoredRollout(rollout.completion.text.count("4") / 24) for rollout in rollouts]


def ours(trainer: VerlTrainerConfig, job: TrainingJob, work: Path) -> list[dict[str, float]]:
    """What verl reports of each step, through rzero."""
    places = FolderCheckpoints(work / "store")
    result = VerlTrainer(trainer).train(job, _reward, places, lambda step, metrics: None)
    assert result.engine_metrics is not None
    steps: dict[int, dict[str, float]] = {}
    for row in result.engine_metrics.to_pylist():
        steps.setdefault(row["step"], {})[row["name"]] = row["value"]
    return [steps[step] for step in sorted(steps)]


def bare(trainer: VerlTrainerConfig, job: TrainingJob, work: Path) -> list[dict[str, float]]:
    """What verl reports of each step, bare."""
    write_prompts(job, work / "prompts.parquet")
    lines = run_bare(trainer, job, work, work / "prompts.parquet", 16, REWARD, PLAIN)
    return [line for line in lines if STEP in line]


def run_bare(
    trainer: VerlTrainerConfig,
    job: TrainingJob,
    work: Path,
    data: Path,
    prompt_tokens: int,
    reward: str,
    template: str,
) -> list[dict[str, float]]:
    """Train in bare verl on a Parquet file, with a reward function's text; what verl reports of each step."""
    gpus = chosen_gpus("trainer", trainer.gpus, trainer.device)
    cluster, paths = cluster_of(trainer, gpus), Paths(work / "model", work)
    shutil.copytree(job.model_dir, paths.model)
    tokenizer = json.loads((paths.model / "tokenizer_config.json").read_text())
    (paths.model / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"chat_template": template}))
    (work / "reward.py").write_text(reward)
    config = GrpoConfig(**dict(job.config))
    asked = verl_settings(job.role, config, trainer, SEED, cluster, paths, prompt_tokens, None)
    settings = {key: value for key, value in asked.items() if not key.startswith(OURS)}
    settings |= {
        "data.train_files": str(data),
        "data.val_files": str(data),
        "actor_rollout_ref.rollout.agent.num_workers": asked["actor_rollout_ref.rollout.agent.num_workers"],
        "reward.num_workers": 1,
        "reward.custom_reward_function.path": str(work / "reward.py"),
        "trainer.save_freq": -1,
        "trainer.resume_mode": "disable",
    }
    (work / "bare.py").write_text(BARE)
    (work / "job.json").write_text(json.dumps({"settings": settings, "cpu": not gpus}))
    environment = os.environ | QUIET | VerlTrainer(trainer).environment(cluster, gpus, paths)
    done = subprocess.run(
        [interpreter(), str(work / "bare.py"), str(work / "job.json")],
        env=environment | {"PYTHONPATH": str(ROOT), JOB_VARIABLE: uuid.uuid4().hex},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not paths.metrics.exists():
        raise SystemExit(f"bare verl failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return [json.loads(line)["data"] for line in paths.metrics.read_text().splitlines()]


def main() -> None:
    """Measure and print."""
    model = Path(sys.argv[1]).resolve()
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    prompts = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    turns = int(sys.argv[4]) if len(sys.argv) > 4 else 2
    config = GrpoConfig(
        steps=steps,
        prompts_per_step=prompts,
        group_size=GROUP_SIZE,
        max_tokens=TOKENS,
        micro_batch_size=16,
        checkpoint_every_steps=steps,
    )
    texts = [f"<|solver|>{20 + n % 60}+{1 + n % 9}-{1 + n // 9 % 9}\n" for n in range(prompts)]
    trainer = VerlTrainerConfig(device="auto", threads=2)
    steps_of: dict[str, list[dict[str, float]]] = {"rzero": [], "bare": []}
    for _ in range(turns):
        for name, run in (("rzero", ours), ("bare", bare)):
            # Ray's sockets want a short path.
            with tempfile.TemporaryDirectory(prefix="rz-") as folder:
                job = TrainingJob("solver", model, texts, config, SEED, Path(folder) / "out")
                steps_of[name] += run(trainer, job, Path(folder))[1:]
    seconds = {name: [step[STEP] for step in measured] for name, measured in steps_of.items()}
    for name, measured in seconds.items():
        shown = ", ".join(f"{value:.2f}" for value in measured)
        median = statistics.median(measured)
        print(f"{name}: best {min(measured):.2f} s, median {median:.2f} s a step of {shown}")
    best, usual = (of(seconds["bare"]) / of(seconds["rzero"]) for of in (min, statistics.median))
    print(f"speed, rzero / bare: {best:.3f} by the best step, {usual:.3f} by the median")
    parts = sorted(steps_of["rzero"][0].keys() & steps_of["bare"][0].keys())
    for part in (part for part in parts if part.startswith("timing_s/") or part == TOKENS_TRAINED):
        of_each = (statistics.median(step[part] for step in steps_of[name]) for name in ("rzero", "bare"))
        print(f"{part}: " + ", ".join(f"{value:.2f}" for value in of_each))


if __name__ == "__main__":
    main()
