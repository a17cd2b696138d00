"""The `vllm` sampler: `vllm.LLM` in processes of its own, one a replica, over the GPUs that are found.

Each call goes to the replicas whole, so that an engine batches continuously over a shard; a prompt and
its seed decide its completions, the replica does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from infra.jobs import DeviceJob, JobGroup, interpreter
from infra.samplers.engine import engine_environment, engine_gpus, engine_options
from infra.samplers.exchange import read_completions, write_prompts
from infra.samplers.protocol import Completion, Sampler, SamplingParams, check_seeds

if TYPE_CHECKING:
    from data.backends import VllmSamplerConfig

_ENTRY = "infra.samplers.vllm_child:serve"


class VllmSampler(Sampler):
    """Starts the engines and draws from them; leaves no process.

    Raises ModelDirectoryError, DeviceSetupError (bad input) or DeviceCrash and its kinds (retryable).
    """

    def __init__(self, config: VllmSamplerConfig, model_dir: Path) -> None:
        options = engine_options(config, Path(model_dir))
        layout = engine_gpus(config)
        python = interpreter(config.python, "sampler.python")
        self._config = config
        self._calls = 0
        self._replicas = JobGroup()
        with self._replicas.ended_on_error():
            for number, gpus in enumerate(layout):
                name = "vllm" if len(layout) == 1 else f"vllm {number + 1}/{len(layout)}"
                environment = engine_environment(config, gpus)
                self._replicas.append(DeviceJob(name, _ENTRY, {"options": options}, python, environment))
            for job in self._replicas:
                job.wait_for("ready", config.start_timeout_seconds, "the start of the engine")

    def sample(
        self, prompts: Sequence[str], params: SamplingParams, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """For each prompt (text as the model reads it) its `params.samples` completions, in order."""
        if not self._replicas:
            raise RuntimeError("the sampler is closed")
        check_seeds(prompts, seeds)
        self._calls += 1
        # Every n-th prompt to the n-th replica: neighbours are alike, so each replica gets the same work.
        count = len(self._replicas)
        shares = [range(start, len(prompts), count) for start in range(count)]
        drawn: list[list[Completion]] = [[] for _ in prompts]
        with self._replicas.ended_on_error():
            busy = [
                (job, share, self._ask(job, share, prompts, params, seeds))
                for job, share in zip(self._replicas, shares, strict=True)
                if share
            ]
            for job, share, output in busy:
                job.wait_for("drawn", self._config.request_timeout_seconds, "a finished prompt")
                groups = read_completions(output, [seeds[index] for index in share])
                for index, group in zip(share, groups, strict=True):
                    drawn[index] = group
                output.unlink()
        return drawn

    def close(self) -> None:
        """End the engines; the device is free afterwards."""
        self._replicas.close()

    def kill(self) -> None:
        """End the engines now."""
        self._replicas.kill()

    def _ask(
        self,
        job: DeviceJob,
        share: range,
        prompts: Sequence[str],
        params: SamplingParams,
        seeds: Sequence[int],
    ) -> Path:
        asked = job.folder / f"prompts-{self._calls:05d}.parquet"
        output = job.folder / f"completions-{self._calls:05d}.parquet"
        write_prompts(asked, [prompts[index] for index in share], [seeds[index] for index in share])
        job.ask(prompts=str(asked), output=str(output), params=asdict(params))
        return output


open_backend = VllmSampler
