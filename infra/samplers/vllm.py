"""The `vllm` sampler: `vllm.LLM` in processes of its own, one a replica, over the GPUs that are found.

Each call goes to the replicas whole, so that an engine batches continuously over a shard; a prompt and
its seed decide its completions, the replica does not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from infra.jobs import DeviceJob, interpreter
from infra.samplers.engine import engine_environment, engine_gpus, engine_options
from infra.samplers.exchange import read_completions, write_prompts
from infra.samplers.protocol import Completion, SamplingParams

if TYPE_CHECKING:
    from data.config import SamplerConfig

_ENTRY = "infra.samplers.vllm_child:serve"


class VllmSampler:
    """Starts the engines and draws from them; a context manager that leaves no process.

    Raises ModelDirectoryError, DeviceSetupError (bad input) or DeviceCrash and its kinds (retryable).
    """

    def __init__(self, config: SamplerConfig, model_dir: Path) -> None:
        options = engine_options(config, Path(model_dir))
        layout = engine_gpus(config)
        python = interpreter(config.python, "sampler.python")
        self._config = config
        self._calls = 0
        self._replicas: list[DeviceJob] = []
        try:
            for number, gpus in enumerate(layout):
                name = "vllm" if len(layout) == 1 else f"vllm {number + 1}/{len(layout)}"
                environment = engine_environment(config, gpus)
                self._replicas.append(DeviceJob(name, _ENTRY, {"options": options}, python, environment))
            for job in self._replicas:
                job.wait_for("ready", config.start_timeout_seconds, "the start of the engine")
        except BaseException:
            self._kill()
            raise

    def sample(
        self, prompts: Sequence[str], params: SamplingParams, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """For each prompt (text as the model reads it) its `params.samples` completions, in order."""
        if not self._replicas:
            raise RuntimeError("the sampler is closed")
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
        self._calls += 1
        # Every n-th prompt to the n-th replica: neighbours are alike, so that each gets the same work.
        count = len(self._replicas)
        shares = [range(start, len(prompts), count) for start in range(count)]
        busy = []
        try:
            for job, share in zip(self._replicas, shares, strict=True):
                if share:
                    busy.append((job, share, self._ask(job, share, prompts, params, seeds)))
            drawn: list[list[Completion]] = [[] for _ in prompts]
            for job, share, output in busy:
                job.wait_for("drawn", self._config.request_timeout_seconds, "a finished prompt")
                groups = read_completions(output, [seeds[index] for index in share])
                for index, group in zip(share, groups, strict=True):
                    drawn[index] = group
                output.unlink()
        except BaseException:
            # An engine that failed once is not trusted with the next shard.
            self._kill()
            raise
        return drawn

    def close(self) -> None:
        """End the engines; the device is free afterwards."""
        replicas, self._replicas = self._replicas, []
        with contextlib.ExitStack() as stack:
            for job in replicas:
                stack.callback(job.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._kill()

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
        job.ask(
            prompts=str(asked),
            output=str(output),
            params={name: getattr(params, name) for name in params.__slots__},
        )
        return output

    def _kill(self) -> None:
        replicas, self._replicas = self._replicas, []
        for job in replicas:
            job.kill()
