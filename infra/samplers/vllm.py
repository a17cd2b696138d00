"""The `vllm` sampler: `vllm.LLM` in processes of its own, one a replica, over the GPUs that are found.

Each call goes to the replicas whole, so that an engine batches continuously over a shard; a prompt and
its seed decide its completions, the replica does not. `serve` is an engine's process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.jobs.channel import Channel
from infra.jobs.errors import DeviceSetupError
from infra.jobs.process import DeviceJob, JobGroup, interpreter
from infra.samplers.engine import engine_environment, engine_gpus, engine_options
from infra.samplers.protocol import Completion, Sampler, SamplingParams, check_prompts
from infra.samplers.texts import completion_texts, end_tokens

if TYPE_CHECKING:
    from data.backends import VllmSamplerConfig

_WORD_EVERY_SECONDS = 10.0


class VllmSampler(Sampler):
    """Starts the engines and draws from them; leaves no process.

    Raises ModelDirectoryError, DeviceSetupError (bad input) or DeviceCrash and its kinds (retryable).
    """

    def __init__(self, config: VllmSamplerConfig, model_dir: Path) -> None:
        spec = {"options": engine_options(config, Path(model_dir))}
        layout = engine_gpus(config)
        python = interpreter()
        self._timeout = config.request_timeout_seconds
        self._replicas = JobGroup()
        with self._replicas.ended_on_error():
            for number, gpus in enumerate(layout):
                name = "vllm" if len(layout) == 1 else f"vllm {number + 1}/{len(layout)}"
                environment = engine_environment(config, gpus)
                self._replicas.append(DeviceJob(name, "infra.samplers.vllm:serve", spec, python, environment))
            for job in self._replicas:
                job.wait_for("ready", config.start_timeout_seconds, "the start of the engine")

    def _draw(self, prompts: list[str], params: SamplingParams, seeds: list[int]) -> list[list[Completion]]:
        # Every n-th prompt to the n-th replica: neighbours are alike, so each replica gets the same work.
        shares = [range(len(prompts))[start :: len(self._replicas)] for start in range(len(self._replicas))]
        busy = [(job, share) for job, share in zip(self._replicas, shares, strict=True) if share]
        for job, share in busy:
            # In a file: a hung engine would leave a pipe full, and this process waiting for it.
            asked = {"prompts": [prompts[i] for i in share], "seeds": [seeds[i] for i in share]}
            file = job.folder / "request.json"
            file.write_text(json.dumps(asked | {"params": asdict(params)}))
            job.ask(file=str(file))
        drawn: list[list[Completion]] = [[] for _ in prompts]
        for job, share in busy:
            for _ in share:
                found = job.wait_for("drawn", self._timeout, "a finished prompt")
                index = share[found["prompt"]]
                drawn[index] = [
                    Completion(text, tuple(ids), reason, seeds[index], found["prompt_tokens"])
                    for text, ids, reason in found["completions"]
                ]
        return drawn

    def _free(self, at_once: bool) -> None:
        self._replicas.kill() if at_once else self._replicas.close()


def serve(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """The process of an engine, where vLLM is installed: load it, then draw for each request."""
    from vllm import LLM

    engine = LLM(**spec["options"], disable_log_stats=True)
    tokenizer = engine.get_tokenizer()
    eos = end_tokens(Path(spec["options"]["model"]), tokenizer)
    channel.say("ready")
    for request in channel.requests():
        _answer(engine.llm_engine, tokenizer, eos, json.loads(Path(request["file"]).read_text()), channel)
    # Its worker releases shared memory when it is told to end, but not when it is orphaned.
    engine.llm_engine.engine_core.shutdown()
    return {}


def _answer(
    engine: Any, tokenizer: Any, eos: Collection[int], request: Mapping[str, Any], channel: Channel
) -> None:
    """Send the completions of each prompt as soon as it is finished."""
    from vllm import SamplingParams as EngineParams
    from vllm.inputs import TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    params = request["params"]
    longest = engine.model_config.max_model_len
    prompt_ids = tokenizer(request["prompts"], add_special_tokens=False)["input_ids"]
    check_prompts(prompt_ids, longest, DeviceSetupError)
    # All greedy completions of a prompt are the same, and vLLM draws only one.
    repeats = params["samples"] if params["temperature"] == 0 else 1
    drawing = {
        "n": params["samples"] // repeats,
        "temperature": params["temperature"],
        "top_p": params["top_p"],
        "top_k": params["top_k"],
        "stop_token_ids": sorted(eos),
        "detokenize": False,
        "output_kind": RequestOutputKind.FINAL_ONLY,
    }
    # The i-th sample of a prompt is drawn with seed + i.
    for number, (ids, seed) in enumerate(zip(prompt_ids, request["seeds"], strict=True)):
        max_tokens = min(params["max_tokens"], longest - len(ids))
        asked = EngineParams(**drawing, max_tokens=max_tokens, seed=seed)
        engine.add_request(str(number), TokensPrompt(prompt_token_ids=ids), asked)
    said = time.monotonic()
    while engine.has_unfinished_requests():
        for output in engine.step():
            if not output.finished:
                continue
            drawn = sorted(output.outputs, key=lambda one: one.index) * repeats
            token_ids = [list(map(int, one.token_ids)) for one in drawn]
            reasons = ["length" if one.finish_reason == "length" else "stop" for one in drawn]
            texts = completion_texts(tokenizer, token_ids, eos)
            number = int(output.request_id)
            channel.say(
                "drawn",
                prompt=number,
                prompt_tokens=len(prompt_ids[number]),
                completions=list(zip(texts, token_ids, reasons, strict=True)),
            )
        # So that the parent can tell work from a hang.
        if time.monotonic() - said > _WORD_EVERY_SECONDS:
            said = time.monotonic()
            channel.say("progress")


open_backend = VllmSampler
