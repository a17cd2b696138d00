"""A vLLM engine that draws what it is given step by step, where vLLM is installed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.jobs.channel import Channel
from infra.samplers.protocol import check_prompts
from infra.samplers.texts import completion_texts, end_tokens

_KNOWN_PROMPTS = 256


def capacity(sequences: int) -> int:
    """How many sequences an engine holds that draws so many at once: some wait there for the next place."""
    return sequences + sequences // 8 + 1


def requests(channel: Channel) -> Iterator[list[dict[str, Any]]]:
    """The sequences that the parent asks for, each time it does, until it ends the job."""
    for request in channel.requests():
        # In the job's folder, where this process was started.
        file = Path(request["file"])
        yield json.loads(file.read_text())
        file.unlink()


class EngineLoop:
    """An engine that is given sequences and takes step by step."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        from vllm import LLM

        llm = LLM(**options, disable_log_stats=True)
        self._engine: Any = llm.llm_engine
        self._sleeps = bool(options.get("enable_sleep_mode"))
        self._is_asleep = False
        self._tokenizer: Any = llm.get_tokenizer()
        self._eos = end_tokens(Path(options["model"]), self._tokenizer)
        self._longest: int = self._engine.model_config.max_model_len
        self._prompt_tokens: dict[str, int] = {}
        # The samples of a prompt come one after the other.
        self._prompt_ids = functools.lru_cache(_KNOWN_PROMPTS)(self._read)
        self.sequences: int = self._engine.vllm_config.scheduler_config.max_num_seqs
        """How many the engine draws at once, at most."""

    @property
    def has_work(self) -> bool:
        """Whether a sequence is unfinished."""
        return bool(self._prompt_tokens)

    def add(self, asked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Begin sequences; those that it refuses."""
        if asked and self._is_asleep:
            self._engine.wake_up()
            self._is_asleep = False
        return [problem for one in asked if (problem := self._add(one)) is not None]

    def step(self) -> list[dict[str, Any]]:
        """What one step of the engine finishes."""
        outputs = [one for one in self._engine.step() if one.finished]
        token_ids = [list(map(int, one.outputs[0].token_ids)) for one in outputs]
        texts = completion_texts(self._tokenizer, token_ids, self._eos) if outputs else []
        return [
            {
                "number": int(output.request_id),
                "prompt_tokens": self._prompt_tokens.pop(output.request_id),
                "text": text,
                "token_ids": ids,
                "finish_reason": "length" if output.outputs[0].finish_reason == "length" else "stop",
            }
            for output, text, ids in zip(outputs, texts, token_ids, strict=True)
        ]

    def rest(self) -> None:
        """Nothing is asked for now: where it is to sleep, free the GPU but for some 2 GiB, until it is.

        To be called before anybody hears of the last sequence: whoever shares the GPU may then fill it, and
        an engine that falls asleep meanwhile takes another's growth for a failure of its own.
        """
        if self._sleeps and not self.has_work and not self._is_asleep:
            # The weights go to the host's memory; keys and values are forgotten.
            self._engine.sleep(level=1)
            self._is_asleep = True

    def close(self) -> None:
        """Let its worker release shared memory, which it does not do when it is orphaned."""
        self._engine.engine_core.shutdown()

    def _read(self, prompt: str) -> list[int]:
        ids: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return ids

    def _add(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """Begin a sequence, or say why not."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        ids = self._prompt_ids(asked["prompt"])
        try:
            check_prompts([ids], self._longest, first=asked["index"])
        except ValueError as error:
            return {"number": asked["number"], "refused": str(error)}
        params = SamplingParams(
            seed=asked["seed"],
            max_tokens=min(asked["max_tokens"], self._longest - len(ids)),
            temperature=asked["temperature"],
            top_p=asked["top_p"],
            top_k=asked["top_k"],
            stop_token_ids=sorted(self._eos),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        name = str(asked["number"])
        self._prompt_tokens[name] = len(ids)
        self._engine.add_request(name, TokensPrompt(prompt_token_ids=ids), params)
        return None
