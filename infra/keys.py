"""Secrets of the environment: taken clean or refused, and kept out of every message."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from data.foreign import one_line

JUDGE_KEY = "RZERO_JUDGE_API_KEY"
SERVER_KEY = "RZERO_SERVER_KEY"
SECRETS = (
    JUDGE_KEY,
    SERVER_KEY,
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "HF_TOKEN",
    "WANDB_API_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
_CLEAN = re.compile(r"[\x20-\x7e]+")
_SECRET_FROM = 8
"""Characters; shorter keys ("EMPTY", "x") protect nothing, and stand in ordinary text."""


_PIECE = 6


class KeyRefused(ValueError):
    """A key that no request can carry; the message does not show it."""


class Key:
    """A key that shows itself in no repr; false where there is none."""

    def __init__(self, value: str = "") -> None:
        self.value = value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return "Key(***)" if self.value else "Key()"

    def headers(self) -> dict[str, str]:
        """The header that carries it."""
        return {"Authorization": f"Bearer {self.value}"} if self.value else {}

    def is_in(self, text: str) -> bool:
        """Whether the key stands in a text, as it is or encoded."""
        return any(spelling in text for spelling in _of(self.value))


def key_in(variable: str) -> Key:
    """The key in a variable, without the white space around it. KeyRefused where no request can carry it."""
    value = os.environ.get(variable, "").strip()
    if value and not _CLEAN.fullmatch(value):
        raise KeyRefused(
            f"${variable} holds a line break, a control character or one that is not ASCII: set it again"
        )
    return Key(value)


def key_for(variable: str, *urls: str) -> Key:
    """The key in a variable, for requests to these endpoints.

    A run's settings name the endpoint, the worker's environment holds the key. Where `$<variable>_HOSTS`
    lists hosts ("api.example.org, localhost:8000"), the key goes to no other. KeyRefused for one that is not
    listed, and as in `key_in`.
    """
    key, allowed = key_in(variable), os.environ.get(f"{variable}_HOSTS", "").replace(",", " ").split()
    for url in urls if key and allowed else ():
        place = urlsplit(url)
        # What stands before an "@" is read as a host by some, as a user by others.
        if "@" in place.netloc or not {place.netloc, place.hostname} & set(allowed):
            raise KeyRefused(f"${variable}_HOSTS does not list the host of {url}: its key does not go there")
    return key


def clean_environment() -> None:
    """Strip all secrets in place, for the libraries that read them too; KeyRefused as in `key_in`."""
    for variable in SECRETS:
        if variable in os.environ:
            os.environ[variable] = key_in(variable).value
            if not os.environ[variable]:
                del os.environ[variable]


def without_secrets(text: str, key: Key | None = None) -> str:
    """The text with every secret of the environment, and `key`, as ***."""
    for spelling in _spellings(key):
        text = text.replace(spelling, "***")
    return text


def said_by(text: str, key: Key) -> str:
    """What a server said, as a message may quote it: one line, nothing where a piece of a secret is in it.

    A server may send a key back, cut or reversed: better no quotation than a piece of the key.
    """
    shown = one_line(without_secrets(text, key))
    words = (word.lower() for each in _spellings(key) for word in (each, each[::-1]))
    pieces = (word[at : at + _PIECE] for word in words for at in range(len(word) - _PIECE + 1))
    return "" if any(piece in shown.lower() for piece in pieces) else shown


def failure_of(error: BaseException) -> str:
    """Why a request failed: the error's kind and the system's reason, never its text, which may quote it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and (cause.errno or 0) > 0:
            return f"{type(error).__name__}: {os.strerror(cause.errno or 0)}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _spellings(key: Key | None) -> Iterator[str]:
    for secret in [key.value if key else "", *(os.environ.get(name, "").strip() for name in SECRETS)]:
        yield from _of(secret)


def _of(secret: str) -> Iterator[str]:
    """A secret as it is, in JSON, in a URL, in the header of a password; nothing where it is no secret."""
    if len(secret) >= _SECRET_FROM:
        raw = secret.encode(errors="surrogateescape")
        spellings = (secret, json.dumps(secret)[1:-1], quote(raw, safe=""), base64.b64encode(raw).decode())
        yield from dict.fromkeys(spellings)
