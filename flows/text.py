"""Text for people: numbers with their units, model output made visible."""

from __future__ import annotations

import unicodedata

_SPACE = "\u00a0"
"""Between a number and its unit, so that they stay on one line."""
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(value: str, limit: int = 1200) -> str:
    r"""Model output as a person can read it: control and direction-changing characters as `\u202e`.

    What is longer than `limit` characters is cut, and says so.
    """
    shown = "".join(_visible(character) for character in value[:limit])
    rest = len(value) - limit
    return f"{shown} … ({rest} more characters)" if rest > 0 else shown


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _BIDI_CONTROLS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\u{ord(character):04x}"
    return character


def percent(value: float | None, digits: int = 1) -> str | None:
    """A share in percent; None stays None."""
    return None if value is None else f"{100 * value:.{digits}f}{_SPACE}%"


def points(value: float | None) -> str | None:
    """A difference of shares in percentage points, with its sign."""
    return None if value is None else f"{100 * value:+.1f}".replace("-", "−")


def number(value: float | None, digits: int = 3) -> str | None:
    """A number with a fixed count of digits; None stays None."""
    return None if value is None else f"{value:.{digits}f}"


def duration(seconds: float | None) -> str | None:
    """Seconds as `41 s`, `6 min 12 s` or `3 h 05 min`."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def size(count: int) -> str:
    """Bytes as `812 B`, `4.1 kB` or `2.0 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
