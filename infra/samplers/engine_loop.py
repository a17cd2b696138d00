"""The loop of a vLLM engine, where vLLM is installed: draws what comes in and says what is finished."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.samplers.protocol import check_prompts
from infra.samplers.texts import completion_texts, end_tokens

Say = Callable[[list[dict[str, Any]]], None]
"""Is told what is finished, and nothing every few seconds of work, to tell work from a hang."""
_WORD_EVERY_SECONDS = 10.0
_KNOWN_PROMPTS = 256


class EngineLoop:
    """An engine; it draws in the thread that calls `run`, and what `inbox` is given may come from any."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        from vllm import LLM

        llm = LLM(**options, disable_log_stats=True)
        self._engine: Any = llm.llm_engine
        self._tokenizer: Any = llm.get_tokenizer()
        self._eos = end_tokens(Path(options["model"]), self._tokenizer)
        self._longest: int = self._engine.model_config.max_model_len
        self._prompt_tokens: dict[str, int] = {}
        # The samples of a prompt come one after the other.
        self._prompt_ids = functools.lru_cache(_KNOWN_PROMPTS)(self._read)
        self.inbox: queue.SimpleQueue[list[dict[str, Any]] | None] = queue.SimpleQueue()
        """Lists of sequences to draw; None ends the loop."""
        self.sequences: int = self._engine.vllm_config.scheduler_config.max_num_seqs
        """How many the engine draws at once, at most."""

    def run(self, say: Say) -> None:
        """Draw until `inbox` holds None."""
        said = time.monotonic()
        while True:
            refused = []
            # Wait for work only where there is none.
            while not (self._prompt_tokens and self.inbox.empty()):
                asked = self.inbox.get()
                if asked is None:
                    # Its worker releases shared memory when it is told to end, but not when it is orphaned.
                    self._engine.engine_core.shutdown()
                    return
                refused += [problem for one in asked if (problem := self._add(one))]
                if refused:
                    break
            finished = refused + self._drawn()
            if finished or time.monotonic() - said > _WORD_EVERY_SECONDS:
                said = time.monotonic()
                say(finished)

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

    def _drawn(self) -> list[dict[str, Any]]:
        """What one step of the engine finishes."""
        outputs = [one for one in self._engine.step() if one.finished] if self._prompt_tokens else []
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
