"""Batches come from a Ray job to the stage, scores go back; a lost actor is one line, an end is none."""

from __future__ import annotations

from pathlib import Path

from infra.jobs.process import DeviceJob
from infra.ray.address import CPU_PATIENCE

TIMEOUT_SECONDS = 900.0
# As many numbers as the largest preset's batch has: 640 rollouts of 4096 tokens.
BATCHES = [[{"sample": 0, "text": "½\n"}], [{"sample": n, "token_ids": [n] * 4096} for n in range(640)]]
SCORES = [[1 / 3], [n / 7 for n in range(640)]]

ENVIRONMENT = {
    **CPU_PATIENCE,
    "PYTHONPATH": str(Path(__file__).parent),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
}


def test_batches_reach_the_stage_and_scores_the_worker_to_the_last_bit_until_the_actor_is_lost(
    python: str, tmp_path: Path
) -> None:
    with DeviceJob("ray", "entries:hand_over", {"batches": BATCHES}, python, ENVIRONMENT) as job:
        for batch, scores in zip(BATCHES, SCORES, strict=True):
            assert job.wait_for("score", TIMEOUT_SECONDS, "a batch")["samples"] == batch
            job.ask(scores=scores)
        scored = job.wait_for("scored", TIMEOUT_SECONDS, "the scores")
        assert scored["scores"] == SCORES
        # One that still asked Ray would end the process when Ray is left.
        assert "rzero-scoring" not in scored["threads"]
        said = job.wait_for("rollouts_failed", TIMEOUT_SECONDS, "the failure")["message"]
    assert said.startswith("batches cannot be handed over: ")
    assert "\n" not in said


def test_one_worker_gathers_more_rollouts_than_ray_lets_an_actor_answer_at_once(python: str) -> None:
    # The overlay official-code has batches of 2048 and 2560; Ray's own limit is 1000.
    spec = {"size": 3000, "timeout_seconds": 60.0}
    environment = ENVIRONMENT | {"VERL_USE_EXTERNAL_MODULES": "infra.trainers.verl.actors"}
    with DeviceJob("ray", "entries:gather_many", spec, python, environment) as job:
        said = job.wait_for("done", TIMEOUT_SECONDS, "the scores")
    assert said["result"]["scores"] == [float(n) for n in range(3000)]
