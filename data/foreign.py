"""What comes from outside (a person, a store, a model, a server), made safe to read and to show."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from typing import Any

ENDPOINT = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
"""The URL of a server, without a user, a password, a query or anything encoded."""

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def read_json(content: bytes | str) -> Any:
    """The value; ValueError, in one short line, where it is no JSON, however deep it is nested."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def visible(value: str, limit: int = 1200) -> str:
    r"""Foreign text as a person can read it: control and direction-changing characters as `\u202e`.

    What is longer than `limit` characters is cut, and says so.
    """
    shown = "".join(_visible(character) for character in value[:limit])
    rest = len(value) - limit
    return f"{shown} … ({rest} more characters)" if rest > 0 else shown


def one_line(value: str, limit: int = 240) -> str:
    """Foreign text as a part of a message: visible, on one line, cut."""
    return visible(" ".join(value.split()), limit)


def is_plain(value: str) -> bool:
    """Whether a text holds no character that `visible` would spell out, and no line break."""
    return not any(_is_control(character) for character in value)


def is_possible(path: str) -> bool:
    """Whether a file system may hold a file of this name, and a few that are named after it."""
    names = [os.fsencode(name) for name in path.split("/")] if is_plain(path) else []
    return bool(names) and max(map(len, names)) <= 240 and len(path) <= 3500


def _visible(character: str) -> str:
    return f"\\u{ord(character):04x}" if character not in "\n\t" and _is_control(character) else character


def _is_control(character: str) -> bool:
    return character in _BIDI_CONTROLS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
