"""The process of the `vllm` sampler's engine; runs where vLLM is installed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from infra.jobs.channel import Channel
from infra.jobs.errors import DeviceSetupError
from infra.samplers.exchange import read_prompts, write_completions
from infra.samplers.texts import completion_texts, end_tokens

_WORD_EVERY_SECONDS = 10.0


def serve(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Load the engine, then draw for each request until there are no more."""
    from vllm import LLM

    engine = LLM(**spec["options"], disable_log_stats=True)
    tokenizer = engine.get_tokenizer()
    eos = end_tokens(Path(spec["options"]["model"]), tokenizer)
    channel.say("ready", longest=engine.llm_engine.model_config.max_model_len)
    for request in channel.requests():
        started = time.monotonic()
        prompts, seeds = read_prompts(Path(request["prompts"]))
        Path(request["prompts"]).unlink()
        rows = draw(engine, tokenizer, eos, prompts, seeds, request["params"], channel)
        write_completions(Path(request["output"]), rows)
        channel.say(
            "drawn", tokens=sum(len(r["token_ids"]) for r in rows), seconds=time.monotonic() - started
        )
    # Its worker releases shared memory when it is told to end, but not when it is orphaned.
    engine.llm_engine.engine_core.shutdown()
    return {}


def draw(
    engine: Any,
    tokenizer: Any,
    eos: Collection[int],
    prompts: list[str],
    seeds: list[int],
    params: Mapping[str, Any],
    channel: Channel,
) -> list[dict[str, Any]]:
    """The completions as rows of the exchange."""
    from vllm.inputs import TokensPrompt

    longest = engine.llm_engine.model_config.max_model_len
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    for index, ids in enumerate(prompt_ids):
        if not ids:
            raise DeviceSetupError(f"prompt {index} is empty: a model needs at least one token to go on from")
        if len(ids) >= longest:
            raise DeviceSetupError(
                f"prompt {index} has {len(ids)} tokens; the engine reads at most {longest}"
            )
    # All greedy completions of a prompt are the same, and vLLM draws only one.
    repeats = params["samples"] if params["temperature"] == 0 else 1
    samples = params["samples"] // repeats
    asked = [
        engine_params(params, min(params["max_tokens"], longest - len(ids)), seed, eos, samples)
        for ids, seed in zip(prompt_ids, seeds, strict=True)
    ]
    outputs = _finished(engine, [TokensPrompt(prompt_token_ids=ids) for ids in prompt_ids], asked, channel)
    rows = []
    for index, output in enumerate(outputs):
        drawn = sorted(output.outputs, key=lambda one: one.index) * repeats
        texts = completion_texts(tokenizer, [list(one.token_ids) for one in drawn], eos)
        rows += [
            {
                "prompt": index,
                "text": text,
                "token_ids": list(one.token_ids),
                "finish_reason": "length" if one.finish_reason == "length" else "stop",
                "prompt_tokens": len(prompt_ids[index]),
            }
            for one, text in zip(drawn, texts, strict=True)
        ]
    return rows


def _finished(engine: Any, prompts: list[Any], asked: list[Any], channel: Channel) -> list[Any]:
    """Every finished request, in order. Reports progress, so that the parent can tell work from a hang."""
    core = engine.llm_engine
    for number, (prompt, params) in enumerate(zip(prompts, asked, strict=True)):
        core.add_request(str(number), prompt, params)
    done: dict[int, Any] = {}
    said = time.monotonic()
    while core.has_unfinished_requests():
        for output in core.step():
            if output.finished:
                done[int(output.request_id)] = output
        if time.monotonic() - said > _WORD_EVERY_SECONDS:
            said = time.monotonic()
            channel.say("progress", done=len(done), of=len(prompts))
    return [done[number] for number in range(len(prompts))]


def engine_params(
    params: Mapping[str, Any], max_tokens: int, seed: int, eos: Collection[int], samples: int
) -> Any:
    """vLLM's parameters for one prompt; its i-th sample is drawn with seed + i."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=samples,
        temperature=params["temperature"],
        top_p=params["top_p"],
        top_k=params["top_k"],
        max_tokens=max_tokens,
        seed=seed,
        stop_token_ids=sorted(eos),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
