"""An OpenAI-compatible chat endpoint: messages in, a text and its tokens out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from data.config import JudgeConfig
from infra.retries import Retries

API_KEY = "RZERO_JUDGE_API_KEY"
"""The environment variable that holds the endpoint's key; the key is never written down."""

RETRIES = Retries(attempts=5, first_delay_seconds=1.0)
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)


class EndpointUnavailable(OSError):
    """The endpoint did not answer in several tries; it may later."""


class EndpointError(RuntimeError):
    """The endpoint refuses for good; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote, and the tokens of prompt and reply together (0 where it does not say)."""

    text: str
    tokens: int


class JudgeEndpoint:
    """Asks one model; a context manager, safe to share between threads."""

    def __init__(self, config: JudgeConfig, retries: Retries = RETRIES) -> None:
        key = os.environ.get(API_KEY)
        self._config = config
        self._retries = retries
        self._client = httpx.Client(
            timeout=config.timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=config.concurrency),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, messages: Sequence[dict[str, str]]) -> Reply:
        """The model's reply. EndpointUnavailable after several tries, EndpointError for a refusal."""
        url = f"{self._config.url}/chat/completions"
        body = {
            "model": self._config.model,
            "messages": list(messages),
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
        }
        reason = ""
        for pause in self._retries.pauses():
            self._retries.sleep(pause)
            try:
                response = self._client.post(url, json=body)
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if response.status_code in _PASSING:
                reason = f"status {response.status_code}"
                continue
            if response.status_code != 200:
                raise EndpointError(_refusal(url, response))
            return _reply(url, response)
        raise EndpointUnavailable(
            f"the judge at {url} did not answer in {self._retries.attempts} tries ({reason})"
        )


def _refusal(url: str, response: httpx.Response) -> str:
    hint = {401: f"; set {API_KEY}", 403: f"; set {API_KEY}", 404: "; see evaluation.judge.url and .model"}
    text = " ".join(response.text.split())[:200]
    advice = hint.get(response.status_code, "")
    return f"the judge at {url} refuses: status {response.status_code} {text}{advice}"


def _reply(url: str, response: httpx.Response) -> Reply:
    try:
        content: Any = response.json()
        text = content["choices"][0]["message"]["content"] or ""
        tokens = int((content.get("usage") or {}).get("total_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise EndpointError(f"the judge at {url} does not answer as an OpenAI-compatible endpoint") from None
    return Reply(str(text), tokens)
