"""An OpenAI-compatible chat endpoint: messages in, a text and its tokens out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from data.config import JudgeConfig
from data.foreign import read_json
from infra.keys import JUDGE_KEY, Key, failure_of, key_for, said_by
from infra.retries import Retries

RETRIES = Retries(attempts=5, first_delay_seconds=1.0)
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)


class EndpointUnavailable(OSError):
    """The endpoint did not answer in several tries; it may later."""

    retryable = True


class EndpointError(RuntimeError):
    """The endpoint refuses for good; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote, and the tokens of prompt and reply together (0 where it does not say)."""

    text: str
    tokens: int


class JudgeEndpoint:
    """Asks one model; a context manager, safe to share between threads.

    The key, in $RZERO_JUDGE_API_KEY, goes to the configured host alone: no redirection is followed. It stands
    in no message, no repr and no reply. KeyRefused where it is none.
    """

    def __init__(self, config: JudgeConfig, retries: Retries = RETRIES) -> None:
        self._key = key_for(JUDGE_KEY, config.url)
        self._config = config
        self._retries = retries
        self._client = httpx.Client(
            timeout=config.timeout_seconds,
            headers=self._key.headers(),
            follow_redirects=False,
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
                reason = failure_of(error)
                continue
            if response.status_code in _PASSING:
                reason = f"status {response.status_code}"
                continue
            if response.status_code != 200:
                raise EndpointError(_refusal(url, response, self._key))
            return _reply(url, response, self._key)
        raise EndpointUnavailable(
            f"the judge at {url} did not answer in {self._retries.attempts} tries ({reason})"
        )


def _refusal(url: str, response: httpx.Response, key: Key) -> str:
    hint = {401: f"set {JUDGE_KEY}", 403: f"set {JUDGE_KEY}", 404: "see evaluation.judge.url and .model"}
    code = response.status_code
    advice = hint.get(code) or said_by(response.text, key)
    return f"the judge at {url} refuses: status {code}" + (f"; {advice}" if advice else "")


def _reply(url: str, response: httpx.Response, key: Key) -> Reply:
    try:
        content: Any = read_json(response.content)
        text = str(content["choices"][0]["message"]["content"] or "")
        tokens = int((content.get("usage") or {}).get("total_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
        raise EndpointError(f"the judge at {url} does not answer as an OpenAI-compatible endpoint") from None
    if key.is_in(text):
        raise EndpointError(f"the judge at {url} sends back the key in {JUDGE_KEY}: it is not to be trusted")
    # Half a surrogate pair, which JSON may hold, is no text that can be stored.
    return Reply(text.encode(errors="replace").decode(), tokens)
