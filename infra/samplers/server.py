"""The `server` sampler: OpenAI-compatible endpoints, given or started here on loopback with a key.

Each prompt is one request for its `n` samples, with at most `requests_at_once` under way at each endpoint: a
fast endpoint takes more of the prompts, and none is flooded. vLLM's endpoints are asked for token ids, so
that texts and counts equal those of the other samplers; the tokens of another endpoint's text are counted
with the model's tokenizer.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from data.foreign import read_json
from infra.jobs.errors import DeviceCrash, DeviceSetupError
from infra.keys import SERVER_KEY, Key, failure_of, key_for, said_by
from infra.models.check import check_model_directory
from infra.retries import Retries
from infra.samplers.protocol import Completion, Sampler, SamplingParams, check_prompts
from infra.samplers.servers import OwnServers
from infra.samplers.texts import completion_texts, end_tokens

if TYPE_CHECKING:
    import httpx

    from data.backends import ServerSamplerConfig

T = TypeVar("T")
_RETRIES = Retries(attempts=5, first_delay_seconds=0.5)
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_GREETING_SECONDS = 15.0


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that answers: its URL up to /v1, the model's name there, and whether it is vLLM."""

    url: str
    model: str
    is_vllm: bool


class ServerSampler(Sampler):
    """Draws completions over HTTP; ends the servers that it started.

    Raises ModelDirectoryError, DeviceSetupError (bad input) or DeviceCrash and its kinds (retryable).
    """

    def __init__(self, config: ServerSamplerConfig, model_dir: Path) -> None:
        from transformers import AutoTokenizer

        check_model_directory(Path(model_dir))
        self._config = config
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        self._end_tokens = end_tokens(Path(model_dir), self._tokenizer)
        self._servers = OwnServers()
        self._key = key_for(SERVER_KEY, *config.urls) if config.urls else Key(secrets.token_urlsafe(24))
        urls: Sequence[str] = config.urls or self._servers.start(config, Path(model_dir), self._key.value)
        # The key goes to these hosts alone.
        self._http: dict[str, Any] = {"follow_redirects": False, "trust_env": bool(config.urls)}
        try:
            self._endpoints = [self._greet(url.rstrip("/")) for url in urls]
        except BaseException:
            self._end(at_once=True)
            raise

    def _draw(self, prompts: list[str], params: SamplingParams, seeds: list[int]) -> list[list[Completion]]:
        return _run(self._draw_all(prompts, params, seeds))

    def _free(self, at_once: bool) -> None:
        self._servers.kill() if at_once else self._servers.close()

    async def _draw_all(
        self, prompts: list[str], params: SamplingParams, seeds: list[int]
    ) -> list[list[Completion]]:
        import httpx

        drawn: list[list[Completion]] = [[] for _ in prompts]
        prompt_ids = self._tokenizer(prompts, add_special_tokens=False)["input_ids"]
        check_prompts(prompt_ids, None)
        left = iter(range(len(prompts)))

        async def work(client: httpx.AsyncClient, endpoint: Endpoint) -> None:
            for index in left:
                drawn[index] = await self._ask(
                    client, endpoint, prompts[index], prompt_ids[index], params, seeds[index]
                )

        async with httpx.AsyncClient(
            timeout=httpx.Timeout(self._config.request_timeout_seconds, connect=_GREETING_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            headers=self._key.headers(),
            **self._http,
        ) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for endpoint in self._endpoints:
                        for _ in range(min(self._config.requests_at_once, len(prompts))):
                            group.create_task(work(client, endpoint))
            except BaseExceptionGroup as failures:
                # The first one is why the others were cancelled.
                raise failures.exceptions[0] from None
        return drawn

    async def _ask(
        self,
        client: httpx.AsyncClient,
        endpoint: Endpoint,
        prompt: str,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        seed: int,
    ) -> list[Completion]:
        # All greedy completions of a prompt are the same, and vLLM draws but one.
        samples = 1 if params.temperature == 0 else params.samples
        body: dict[str, Any] = {
            "model": endpoint.model,
            "prompt": prompt,
            "max_tokens": params.max_tokens,
            "n": samples,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": seed,
        }
        if endpoint.is_vllm:
            body |= {
                "prompt": list(prompt_ids),
                "top_k": params.top_k,
                "stop_token_ids": sorted(self._end_tokens),
                "return_token_ids": True,
                "skip_special_tokens": False,
            }
        elif params.top_k:
            raise DeviceSetupError(f"{endpoint.url} is not vLLM: it knows no top_k, set it to 0")
        answer = await self._post(client, endpoint, body)
        try:
            choices = sorted(answer["choices"], key=lambda choice: choice["index"])
            drawn = [self._completion(choice, seed, len(prompt_ids)) for choice in choices]
        except (KeyError, TypeError, AttributeError, OverflowError):
            raise DeviceCrash(f"{endpoint.url} does not answer as an OpenAI-compatible endpoint") from None
        if len(choices) != samples:
            raise DeviceCrash(f"{endpoint.url} gave {len(choices)} of {samples} completions")
        if any(self._key.is_in(completion.text) for completion in drawn):
            raise DeviceSetupError(f"{endpoint.url} sends back its key: it is not to be trusted")
        return drawn * params.samples if samples < params.samples else drawn

    def _completion(self, choice: dict[str, Any], seed: int, prompt_tokens: int) -> Completion:
        ids = choice.get("token_ids")
        text = choice["text"]
        if ids is not None:
            text = completion_texts(self._tokenizer, [ids], self._end_tokens)[0]
        else:
            # Half a surrogate pair, which JSON may hold, is no text.
            text = text.encode(errors="replace").decode()
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return Completion(
            text=text,
            token_ids=tuple(ids),
            finish_reason="length" if choice["finish_reason"] == "length" else "stop",
            seed=seed,
            prompt_tokens=prompt_tokens,
        )

    async def _post(self, client: httpx.AsyncClient, endpoint: Endpoint, body: dict[str, Any]) -> Any:
        import httpx

        problem = ""
        for pause in _RETRIES.pauses():
            self._servers.check()
            await asyncio.sleep(pause)
            try:
                reply = await client.post(f"{endpoint.url}/completions", json=body)
            except httpx.TimeoutException:
                raise DeviceCrash(
                    f"{endpoint.url} did not answer within {self._config.request_timeout_seconds:g} s"
                ) from None
            except httpx.HTTPError as error:
                problem = failure_of(error)
                continue
            if reply.is_success:
                try:
                    return read_json(reply.content)
                except ValueError:
                    problem = "a reply that is not JSON"
                    continue
            said = "" if reply.status_code in (401, 403) else said_by(reply.text, self._key)
            problem = f"HTTP {reply.status_code}" + (f": {said}" if said else "")
            if reply.status_code not in _PASSING:
                raise DeviceSetupError(f"{endpoint.url} refuses a request ({problem})")
        self._servers.check()
        raise DeviceCrash(f"{endpoint.url} does not answer ({problem}), tried {_RETRIES.attempts} times")

    def _greet(self, url: str) -> Endpoint:
        """The endpoint, if it answers and serves the model."""
        import httpx

        try:
            reply = httpx.get(
                f"{url}/models", timeout=_GREETING_SECONDS, headers=self._key.headers(), **self._http
            )
        except httpx.HTTPError as error:
            raise DeviceCrash(f"sampler.urls: {url} does not answer ({failure_of(error)})") from None
        if reply.status_code in (401, 403):
            raise DeviceSetupError(f"sampler.urls: {url} refuses the key in ${SERVER_KEY}")
        if not reply.is_success:
            raise DeviceCrash(f"sampler.urls: {url}/models answers HTTP {reply.status_code}")
        try:
            listed = read_json(reply.content)["data"]
            models = {str(model["id"]): model.get("owned_by") for model in listed}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DeviceSetupError(f"sampler.urls: {url} is not an OpenAI-compatible endpoint") from None
        wanted = self._config.served_model if self._config.urls else None
        if wanted is None and len(models) == 1:
            wanted = next(iter(models))
        if wanted not in models:
            there = said_by(", ".join(models), self._key) or "none"
            raise DeviceSetupError(f"sampler.served_model: {url} does not serve {wanted!r} but {there}")
        return Endpoint(url, str(wanted), models[wanted] == "vllm")


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread of its own, since the caller may be within a running loop."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(work))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result()


open_backend = ServerSampler
