"""When an engine that shares its GPU sleeps and wakes.

vLLM sleeps on GPUs alone, so an engine stands here for it that refuses, as vLLM's does, to work asleep. What
asks it is ours: the process of an engine, and an actor on a Ray cluster.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from infra.samplers.ray_engines import Engine
from infra.samplers.vllm import serve
from tests.support.chat_tokenizers import chat_tokenizer, write_base_model

LONGEST = 16


class Standing:
    """An engine in vLLM's place: a token a step for each sequence; `did` is what it and others did."""

    def __init__(self, did: list[str], options: dict[str, Any]) -> None:
        self._did = did
        self._can_sleep = options.get("enable_sleep_mode", False)
        self._is_asleep = False
        self._left: dict[str, int] = {}
        self.model_config = SimpleNamespace(max_model_len=LONGEST)
        self.vllm_config = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=4))
        self.engine_core = SimpleNamespace(shutdown=lambda: did.append("shut down"))

    def add_request(self, name: str, prompt: Any, params: Any) -> None:
        assert not self._is_asleep
        self._left[name] = params.max_tokens
        self._did.append(f"add {name}")

    def step(self) -> list[Any]:
        assert not self._is_asleep
        assert self._left
        self._left = {name: left - 1 for name, left in self._left.items()}
        finished = [name for name, left in self._left.items() if not left]
        for name in finished:
            del self._left[name]
        self._did.append("step")
        drawn = SimpleNamespace(token_ids=[0], finish_reason="length")
        return [SimpleNamespace(request_id=name, finished=True, outputs=[drawn]) for name in finished]

    def sleep(self, level: int) -> None:
        assert self._can_sleep
        assert not self._is_asleep
        assert not self._left
        self._is_asleep = True
        self._did.append(f"sleep {level}")

    def wake_up(self) -> None:
        assert self._is_asleep
        self._is_asleep = False
        self._did.append("wake")


class Line:
    """The parent's end: one request after another, the next once the one before is answered."""

    def __init__(self, did: list[str], folder: Path, requests: list[list[dict[str, Any]]]) -> None:
        self._did, self._folder, self._requests = did, folder, requests
        self._answered = threading.Semaphore(0)

    def requests(self) -> Iterator[dict[str, Any]]:
        for number, asked in enumerate(self._requests):
            file = self._folder / f"{number}.json"
            file.write_text(json.dumps(asked))
            yield {"file": str(file)}
            for _ in asked:
                self._answered.acquire()

    def say(self, kind: str, **values: Any) -> None:
        for one in values.get("finished", ()):
            self._did.append(f"tell {one['number']}")
            self._answered.release()
        if kind == "ready":
            self._did.append("ready")


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to vLLM and told of it, in order; vLLM is not installed where these tests run."""
    found: list[str] = []
    vllm, inputs, params = (ModuleType(name) for name in ("vllm", "vllm.inputs", "vllm.sampling_params"))

    def llm(model: str, disable_log_stats: bool, **options: Any) -> Any:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        return SimpleNamespace(llm_engine=Standing(found, options), get_tokenizer=lambda: tokenizer)

    vllm.LLM, vllm.SamplingParams = llm, SimpleNamespace  # type: ignore[attr-defined]
    inputs.TokensPrompt = SimpleNamespace  # type: ignore[attr-defined]
    params.RequestOutputKind = SimpleNamespace(FINAL_ONLY="final")  # type: ignore[attr-defined]
    for module in (vllm, inputs, params):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_base_model(tmp_path / "model", chat_tokenizer(None), "a")


def _asked(number: int, prompt: str = "1+1", tokens: int = 1) -> dict[str, Any]:
    drawing = {"seed": 0, "max_tokens": tokens, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
    return {"number": number, "index": number, "prompt": prompt, **drawing}


def _served(did: list[str], folder: Path, requests: list[list[dict[str, Any]]], **options: Any) -> list[str]:
    serve({"options": {"model": str(folder / "model"), **options}}, Line(did, folder, requests))  # type: ignore[arg-type]
    return did


def test_an_engine_sleeps_until_it_is_asked_and_again_before_its_last_answer_is_told(
    did: list[str], model: Path
) -> None:
    requests = [[_asked(0, tokens=1), _asked(1, tokens=2)], [_asked(2)]]
    assert _served(did, model.parent, requests, enable_sleep_mode=True) == [
        *("sleep 1", "ready"),
        *("wake", "add 0", "add 1", "step", "tell 0", "step", "sleep 1", "tell 1"),
        *("wake", "add 2", "step", "sleep 1", "tell 2"),
        "shut down",
    ]


def test_an_engine_that_was_woken_for_a_prompt_it_refuses_sleeps_again(did: list[str], model: Path) -> None:
    requests = [[_asked(0, prompt="1" * LONGEST)], [_asked(1)]]
    assert _served(did, model.parent, requests, enable_sleep_mode=True) == [
        *("sleep 1", "ready", "wake", "sleep 1", "tell 0"),
        *("wake", "add 1", "step", "sleep 1", "tell 1", "shut down"),
    ]


def test_an_engine_with_a_gpu_of_its_own_never_sleeps(did: list[str], model: Path) -> None:
    assert _served(did, model.parent, [[_asked(0)], [_asked(1)]]) == [
        *("ready", "add 0", "step", "tell 0", "add 1", "step", "tell 1", "shut down")
    ]


def test_an_engine_on_a_ray_cluster_sleeps_between_its_calls_once_nothing_is_left(
    did: list[str], model: Path
) -> None:
    engine = Engine()
    assert engine.start({"model": str(model), "enable_sleep_mode": True}) == 4 + 1
    assert [drawn["number"] for drawn in engine.work([_asked(0, tokens=1), _asked(1, tokens=2)])] == [0]
    assert did == ["sleep 1", "wake", "add 0", "add 1", "step"]
    assert [drawn["number"] for drawn in engine.work([])] == [1]
    assert engine.work([]) == []
    assert did[5:] == ["step", "sleep 1"]
