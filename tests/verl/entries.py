"""What runs in the device environment for these tests alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.jobs.channel import Channel
from infra.trainers.verl.child import compose, validate


def check(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Whether verl accepts each of `spec["settings"]` (by name): what is wrong with those it does not."""
    from verl.utils.config import omega_conf_to_dataclass

    problems = {}
    for name, settings in spec["settings"].items():
        try:
            config = compose(settings)
            validate(config)
            # These have checks of their own; the model's would look for its files.
            for section in ("actor", "rollout"):
                omega_conf_to_dataclass(config.actor_rollout_ref[section])
            omega_conf_to_dataclass(config.algorithm)
        except Exception as error:
            problems[name] = f"{type(error).__name__}: {error}"
    return problems


def read_rows(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """What verl's own data set makes of `spec["file"]`, with the chat template given and without one."""
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset

    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    settings = {"cache_dir": spec["cache"], "max_prompt_length": 64, "filter_overlong_prompts_workers": 1}
    lengths = []
    for template in (None, spec["template"]):
        tokenizer.chat_template = template
        rows = RLHFDataset(spec["file"], tokenizer, OmegaConf.create(settings))
        lengths.append(len(rows))
    names = ("raw_prompt", "data_source", "reward_model", "index", "extra_info")
    return {"lengths": lengths, "rows": [{name: row[name] for name in names} for row in rows]}


def hand_over(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Have batches scored by a worker of a Ray job that this starts, then lose the actor of a second job."""
    import asyncio
    import threading

    import ray

    from infra.ray.joined import wait_longer_for_ray
    from infra.trainers.verl.scoring import Handover, score_in_stage

    def start_ray() -> None:
        ray.init(address="local", include_dashboard=False, num_cpus=2, object_store_memory=200_000_000)

    wait_longer_for_ray()
    start_ray()
    handover = Handover(channel)

    @ray.remote
    def reward_worker(batch: list[Any]) -> list[float]:
        return asyncio.run(score_in_stage(batch))

    scores = [ray.get(reward_worker.remote(batch)) for batch in spec["batches"]]
    handover.end()
    names = [thread.name for thread in threading.enumerate()]
    ray.shutdown()
    channel.say("scored", scores=scores, threads=names)
    start_ray()
    again = Handover(channel)
    ray.kill(ray.get_actor("rzero-scoring"))
    for _ in channel.requests():
        pass
    again.end()
    ray.shutdown()
    return {}


def gather_many(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Score a batch of `spec["size"]` rollouts in one worker as verl makes it; the scores."""
    import ray
    import verl  # noqa: F401  # imports what VERL_USE_EXTERNAL_MODULES names

    from infra.ray.joined import wait_longer_for_ray
    from infra.trainers.verl.gather import Gather

    async def score_batch(batch: str, samples: Any) -> list[float]:
        return [float(sample) for sample in samples]

    class Worker:
        def __init__(self) -> None:
            self.gather = Gather(score_batch, spec["timeout_seconds"])

        async def compute_score(self, sample: int) -> float:
            return await self.gather.score("batch", spec["size"], sample)

    wait_longer_for_ray()
    ray.init(address="local", include_dashboard=False, num_cpus=2, object_store_memory=200_000_000)
    try:
        worker = ray.remote(Worker).remote()
        return {"scores": ray.get([worker.compute_score.remote(n) for n in range(spec["size"])])}
    finally:
        ray.shutdown()
