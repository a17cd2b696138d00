"""The `vllm` sampler: `vllm.LLM` in processes of its own, one a replica, over the GPUs that are found.

All replicas draw from one queue, and so do all calls that are under way; a replica that dies gives back what
it has not finished. Where the environment names a Ray cluster, the replicas are on all of its nodes
(`ray_engines.py`). `serve` is the process of an engine of this machine.
"""

from __future__ import annotations

import itertools
import json
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.jobs.channel import Channel
from infra.jobs.errors import DeviceCrash, DeviceError
from infra.jobs.process import PACKAGES, QUIET, DeviceJob, JobGroup, Message, interpreter
from infra.ray.address import ray_address, token_mode
from infra.run_log import run_log
from infra.samplers.engine import engine_environment, engine_gpus, engine_options, sleep_options
from infra.samplers.engine_loop import EngineLoop, capacity, requests
from infra.samplers.protocol import Completion, Sampler, SamplingParams
from infra.samplers.shared_queue import Asked, SharedQueue

if TYPE_CHECKING:
    from data.backends import VllmSamplerConfig

_LOOK_EVERY_SECONDS = 1.0
_WORD_EVERY_SECONDS = 10.0


class VllmSampler(Sampler):
    """Starts the engines and draws from them; leaves no process.

    Raises ModelDirectoryError, DeviceSetupError (bad input) or DeviceCrash and its kinds (retryable) where no
    engine is left.
    """

    def __init__(self, config: VllmSamplerConfig, model_dir: Path) -> None:
        options = engine_options(config, Path(model_dir))
        self._timeout = config.request_timeout_seconds
        self._log = run_log("rzero.device")
        self._queue = SharedQueue()
        self._replicas = JobGroup()
        address = ray_address()
        with self._replicas.ended_on_error():
            # Numbers of GPUs are this machine's.
            if address is None or config.gpus:
                self._start_here(config, options)
            else:
                self._start_on_ray(config, options, address)
            engines = 0
            for job in self._replicas:
                ready = job.wait_for("ready", config.start_timeout_seconds, "the start of the engine")
                self._add(job, ready["sequences"])
                engines += ready["engines"]
        # Enough to fill every engine, and few enough that not all of a stage fails with them.
        self.calls_at_once = 1 + 2 * engines

    @property
    def is_lost(self) -> bool:
        """Whether it is closed or has no engine left."""
        return super().is_lost or self._queue.failure is not None

    @property
    def drawn_by(self) -> Mapping[str, int]:
        """How many sequences each engine has drawn."""
        return dict(self._queue.drawn_by)

    def _draw(self, prompts: list[str], params: SamplingParams, seeds: list[int]) -> list[list[Completion]]:
        # All greedy completions of a prompt are the same.
        different = 1 if params.temperature == 0 else params.samples
        # The i-th sample of a prompt is drawn with seed + i.
        groups = [
            [
                {"prompt": prompt, "index": index, "seed": seed + sample, **asdict(params)}
                for sample in range(different)
            ]
            for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
        ]
        return [
            [
                Completion(
                    one["text"], tuple(one["token_ids"]), one["finish_reason"], seed, one["prompt_tokens"]
                )
                for one in drawn
            ]
            * (params.samples // different)
            for drawn, seed in zip(self._queue.draw(groups), seeds, strict=True)
        ]

    def _free(self, at_once: bool) -> None:
        self._replicas.kill() if at_once else self._replicas.close()

    def _start_here(self, config: VllmSamplerConfig, options: Mapping[str, Any]) -> None:
        """A process for each replica."""
        layout = engine_gpus(config)
        python = interpreter()
        for number, gpus in enumerate(layout):
            name = "vllm" if len(layout) == 1 else f"vllm {number + 1}/{len(layout)}"
            environment = engine_environment(config, gpus)
            entry = "infra.samplers.vllm:serve"
            spec = {"options": {**options, **sleep_options(config, bool(gpus))}}
            self._replicas.append(DeviceJob(name, entry, spec, python, environment))

    def _start_on_ray(self, config: VllmSamplerConfig, options: Mapping[str, Any], address: str) -> None:
        """One process, which has engines on all nodes of a cluster and shares out the work among them."""
        on_cpu = config.device == "cpu"
        spec = {
            "options": {**options, **sleep_options(config, not on_cpu)},
            "address": address,
            "replicas": config.replicas,
            "tensor_parallel": config.tensor_parallel,
            "on_cpu": on_cpu,
            "timeout_seconds": self._timeout,
            "packages": list(map(str, PACKAGES)),
            # The cluster's processes have an environment of their own.
            "variables": QUIET | (engine_environment(config, ()) if on_cpu else {}),
        }
        entry = "infra.samplers.ray_engines:serve"
        self._replicas.append(DeviceJob("vllm", entry, spec, interpreter(), token_mode()))

    def _add(self, job: DeviceJob, sequences: int) -> None:
        """Let a process that holds at most so many sequences take part."""
        numbers = itertools.count()

        def hand(asked: Sequence[Asked]) -> None:
            # In a file: a hung engine would leave a pipe full, and this process waiting for it.
            file = f"{next(numbers)}.json"
            try:
                (job.folder / file).write_text(json.dumps(asked))
                job.ask(file=file)
            except (DeviceError, OSError):
                # Whoever follows it hears of its end, too.
                return

        self._queue.join(job.name, sequences, hand)
        threading.Thread(target=self._follow, args=(job,), name=job.name, daemon=True).start()

    def _follow(self, job: DeviceJob) -> None:
        """Take in what an engine draws until it ends; the others draw what it has not."""
        try:
            while (message := self._next(job)).kind != "done":
                if message.kind == "drawn":
                    self._queue.finished(job.name, message.values["finished"])
        except Exception as problem:
            if self.is_lost:
                return
            nonsense = DeviceCrash(f"{job.name}: what it says makes no sense ({problem!r})")
            error = problem if isinstance(problem, DeviceError) else nonsense
            left = self._queue.lose(job.name)
            if left:
                self._log.warning(f"{error}; what it had not drawn goes to the other {left}")
            job.kill()
            if not left:
                # The device is free by now: whoever hears of it may start anew.
                self._queue.fail(error)

    def _next(self, job: DeviceJob) -> Message:
        """What an engine says next; DeviceError if it fails, or is silent for too long while it has work."""
        heard = time.monotonic()
        while True:
            try:
                message = job.messages.get(timeout=_LOOK_EVERY_SECONDS)
            except queue.Empty:
                silent = min(time.monotonic() - heard, self._queue.busy_seconds(job.name))
                if silent > self._timeout:
                    raise job.hang("a finished prompt", self._timeout) from None
                continue
            if message.kind in ("failed", "ended"):
                raise job.error_of(message)
            return message


def serve(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """The process of an engine, where vLLM is installed: draw whatever is asked."""
    engine = EngineLoop(spec["options"])
    inbox: queue.SimpleQueue[list[dict[str, Any]] | None] = queue.SimpleQueue()

    def receive() -> None:
        for asked in requests(channel):
            inbox.put(asked)
        inbox.put(None)

    threading.Thread(target=receive, daemon=True).start()
    engine.rest()
    channel.say("ready", sequences=capacity(engine.sequences), engines=1)
    said = time.monotonic()
    while True:
        finished: list[dict[str, Any]] = []
        # Wait for work only where there is none.
        while not finished and not (engine.has_work and inbox.empty()):
            asked = inbox.get()
            if asked is None:
                engine.close()
                return {}
            finished = engine.add(asked)
        if engine.has_work:
            finished += engine.step()
        if inbox.empty():
            engine.rest()
        # Now and then without news, so that the parent can tell work from a hang.
        if finished or time.monotonic() - said > _WORD_EVERY_SECONDS:
            said = time.monotonic()
            channel.say("drawn", finished=finished)


open_backend = VllmSampler
