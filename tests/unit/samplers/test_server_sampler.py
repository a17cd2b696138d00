"""The `server` sampler against a small OpenAI-compatible endpoint, and both engines' bad input."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from data.backends import ServerSamplerConfig, VllmSamplerConfig
from data.tiny.pretrain import new_model
from data.tiny.tokenizer import SOLVER, build_tokenizer
from infra.jobs.errors import DeviceCrash, DeviceSetupError
from infra.models.check import ModelDirectoryError
from infra.samplers import SamplingParams, open_sampler
from tests.support.chat_tokenizers import CHATML, chat_tokenizer, write_base_model

PROMPT = f"{SOLVER}37 +5\n"
ANSWER = "37 +5 =42\n\\boxed{42}"


class Endpoint:
    """Answers each request with the same text; what it is asked is in `asked`."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.asked: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._together: threading.Barrier | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def meet(self, requests: int) -> None:
        """Answer only when so many requests are under way."""
        self._together = threading.Barrier(requests)

    def _answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.asked.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            failure = self.failures.pop() if self.failures else None
        if self._together is not None:
            self._together.wait(30)
        with self._lock:
            self._at_once -= 1
        if failure:
            return failure, {"error": "not now"}
        ids = build_tokenizer()(ANSWER, add_special_tokens=False)["input_ids"]
        choice = {"text": ANSWER, "finish_reason": "stop"}
        if self.owner == "vllm":
            choice |= {"token_ids": [*ids, build_tokenizer().eos_token_id]}
        return 200, {"choices": [{**choice, "index": index} for index in range(body["n"])]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                key = self.headers.get("Authorization")
                known = key in (None, "Bearer right")
                models = {"data": [{"id": "the-model", "owned_by": endpoint.owner}]}
                self._send(200 if known else 401, models)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._send(*endpoint._answer(body))

            def _send(self, status: int, content: dict[str, Any]) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def endpoint() -> Iterator[Callable[[str], Endpoint]]:
    started: list[Endpoint] = []

    def start(owner: str = "vllm") -> Endpoint:
        started.append(Endpoint(owner))
        return started[-1]

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "model"
    tokenizer = build_tokenizer()
    new_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _config(*urls: str, **settings: Any) -> ServerSamplerConfig:
    return ServerSamplerConfig(urls=urls, device="cpu", **settings)


Start = Callable[..., Endpoint]


def test_completions_are_those_of_the_other_samplers(endpoint: Start, model_dir: Path) -> None:
    served = endpoint("vllm")
    with open_sampler(_config(served.url), model_dir) as sampler:
        (group,) = sampler.sample([PROMPT], SamplingParams(max_tokens=20, samples=3, top_k=5), [11])
    assert [one.text for one in group] == [ANSWER] * 3
    tokenizer = build_tokenizer()
    assert group[0].token_ids[-1] == tokenizer.eos_token_id
    assert (group[0].finish_reason, group[0].seed) == ("stop", 11)
    prompt_ids = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    assert group[0].prompt_tokens == len(prompt_ids)
    asked = served.asked[0]
    assert (asked["prompt"], asked["n"], asked["seed"], asked["top_k"]) == (prompt_ids, 3, 11, 5)
    assert asked["stop_token_ids"] == [tokenizer.eos_token_id]


def test_an_endpoint_stops_at_the_end_of_a_turn_too(endpoint: Start, tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(CHATML)
    ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    served = endpoint("vllm")
    with open_sampler(_config(served.url), write_base_model(tmp_path, tokenizer, "<|im_end|>")) as sampler:
        sampler.sample([PROMPT], SamplingParams(max_tokens=20), [1])
    assert served.asked[0]["stop_token_ids"] == ends


def test_an_endpoint_of_another_engine_is_asked_only_what_openai_knows(
    endpoint: Start, model_dir: Path
) -> None:
    served = endpoint("somebody")
    with open_sampler(_config(served.url), model_dir) as sampler:
        (group,) = sampler.sample([PROMPT], SamplingParams(max_tokens=20), [1])
    assert group[0].text == ANSWER
    assert len(group[0].token_ids) > 4
    known = {"model", "prompt", "max_tokens", "n", "temperature", "top_p", "seed"}
    assert set(served.asked[0]) == known


def test_no_endpoint_is_asked_more_at_once_than_it_may_be(endpoint: Start, model_dir: Path) -> None:
    served = endpoint("vllm")
    served.meet(3)
    with open_sampler(_config(served.url, requests_at_once=3), model_dir) as sampler:
        drawn = sampler.sample([PROMPT] * 12, SamplingParams(max_tokens=20), list(range(12)))
    assert len(drawn) == 12
    assert served.most_at_once == 3
    assert sorted(asked["seed"] for asked in served.asked) == list(range(12))


def test_a_request_that_fails_for_a_moment_is_tried_again(endpoint: Start, model_dir: Path) -> None:
    served = endpoint("vllm")
    served.failures = [503]
    with open_sampler(_config(served.url), model_dir) as sampler:
        (group,) = sampler.sample([PROMPT], SamplingParams(max_tokens=20), [1])
    assert group[0].text == ANSWER
    assert len(served.asked) == 2


def test_a_refused_request_is_one_clear_line(endpoint: Start, model_dir: Path) -> None:
    served = endpoint("vllm")
    served.failures = [400]
    with (
        open_sampler(_config(served.url), model_dir) as sampler,
        pytest.raises(DeviceSetupError, match=r"refuses a request \(HTTP 400"),
    ):
        sampler.sample([PROMPT], SamplingParams(max_tokens=20), [1])


def test_a_dead_endpoint_is_one_clear_line_and_may_be_tried_again(model_dir: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(DeviceCrash, match=f"sampler.urls: {url} does not answer"):
            open_sampler(_config(url), model_dir)


def test_a_wrong_key_or_model_is_told(
    endpoint: Start, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = endpoint("vllm")
    with pytest.raises(DeviceSetupError, match="does not serve 'other' but the-model"):
        open_sampler(_config(served.url, served_model="other"), model_dir)
    monkeypatch.setenv("RZERO_SERVER_KEY", "wrong")
    with pytest.raises(DeviceSetupError, match="refuses the key"):
        open_sampler(_config(served.url), model_dir)


def test_a_taken_port_is_told_before_an_engine_starts(model_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DeviceSetupError, match=f"sampler.port: {port} on 127.0.0.1 cannot be had"):
            open_sampler(ServerSamplerConfig(device="cpu", port=port), model_dir)


@pytest.mark.parametrize("kind", [VllmSamplerConfig, ServerSamplerConfig])
def test_a_directory_that_is_no_causal_language_model_is_told(
    kind: type[VllmSamplerConfig | ServerSamplerConfig], model_dir: Path, tmp_path: Path
) -> None:
    config = kind(device="cpu")
    with pytest.raises(ModelDirectoryError, match="is not a directory"):
        open_sampler(config, tmp_path / "nowhere")
    other = tmp_path / "classifier"
    shutil.copytree(model_dir, other)
    described = json.loads((other / "config.json").read_text())
    described["architectures"] = ["BertForSequenceClassification"]
    (other / "config.json").write_text(json.dumps(described))
    with pytest.raises(ModelDirectoryError, match="no causal language model but BertForSequence"):
        open_sampler(config, other)


@pytest.mark.parametrize("kind", [VllmSamplerConfig, ServerSamplerConfig])
def test_an_environment_without_vllm_is_told(
    kind: type[VllmSamplerConfig | ServerSamplerConfig],
    model_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # This environment may have it: whatever starts here finds none.
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['vllm'] = None")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{tmp_path}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("RZERO_COMPUTE_PYTHON", str(python))
    with pytest.raises(DeviceSetupError, match="has no package 'vllm'"):
        open_sampler(kind(device="cpu"), model_dir)
