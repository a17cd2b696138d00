"""Tables and JSON on a terminal, in a pipe or in a file."""

from __future__ import annotations

import itertools
import json
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from data.foreign import visible
from flows.text import say

_WIDTH = 100
"""In a pipe or a file, unless $COLUMNS says otherwise."""


def width() -> int:
    """How many characters a line may have."""
    return shutil.get_terminal_size((_WIDTH, 24)).columns


def tell(text: str, err: bool = False) -> None:
    """Print a sentence in lines that fit the width; a path stays whole, longer or not."""
    lines = textwrap.wrap(text, width(), break_long_words=False, break_on_hyphens=False)
    for line in lines or [""]:
        say(line, err)


def show_json(value: Any) -> None:
    """Print a value as JSON; `say` spells control characters as JSON does."""
    say(json.dumps(value, indent=1, ensure_ascii=False))


def show_table(rows: Sequence[Mapping[str, Any]], title: str | None = None, keys: int = 1) -> None:
    """Print rows as a table that fits the width; None as a dash.

    Words are never cut. Columns that do not fit beside each other follow in further tables, each of which
    begins with the first `keys` columns.
    """
    columns = [_Column(name, [row[name] for row in rows]) for name in (rows[0] if rows else ())]
    if title:
        say(f"{title}\n")
    head, rest = columns[:keys], columns[keys:]
    while rest:
        for count in range(len(rest), 0, -1):
            shown = [*head, *rest[:count]]
            if _fit(shown, wrap=len(shown) == len(columns)):
                break
        for line in _lines(shown):
            say(line)
        say("")
        rest = rest[count:]


def cut(value: Any, length: int) -> Any:
    """A number as it is; anything else as one line of at most `length`, cut ones ending in an ellipsis."""
    if value is None or isinstance(value, int | float):
        return value
    text = visible(" ".join(str(value).split()))
    return text if cell_len(text) <= length else set_cell_size(text, length - 1).rstrip() + "…"


class _Column:
    """A column; `least` is the width of its longest word, at `natural` no cell is wrapped."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        self.cells = [_text(value) for value in values]
        self.is_numeric = all(isinstance(value, int | float | None) for value in values)
        self.least = max(cell_len(word) for text in (name, *self.cells) for word in text.split(" "))
        self.natural = max(self.least, *(cell_len(cell) for cell in self.cells))

    def lines(self, text: str, width: int) -> list[str]:
        """A cell or the header in lines of exactly `width`."""
        side = str.rjust if self.is_numeric else _left
        lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        return [side(line, width) for line in lines or [""]]


def _fit(columns: Sequence[_Column], wrap: bool = True) -> tuple[str, list[int]] | None:
    """The gap between columns and the width of each; None if they do not fit beside each other.

    Where cells may wrap, the widest column that has a space to break at gives way first.
    """
    for wraps, gap in itertools.product((False, True) if wrap else (False,), ("  ", " ")):
        room = width() - len(gap) * (len(columns) - 1)
        widths = [column.natural for column in columns]
        while sum(widths) > room:
            spare = [i for i, column in enumerate(columns) if wraps and widths[i] > column.least]
            if not spare:
                break
            widths[max(spare, key=lambda i: widths[i])] -= 1
        else:
            return gap, widths
    return None


def _lines(columns: Sequence[_Column]) -> list[str]:
    """The header, a rule and the rows."""
    gap, widths = _fit(columns) or (" ", [column.least for column in columns])

    def beside(texts: Sequence[str], bottom: bool = False) -> list[str]:
        cells = [column.lines(text, w) for column, text, w in zip(columns, texts, widths, strict=True)]
        height = max(len(cell) for cell in cells)
        blanks = [[" " * w] * (height - len(cell)) for w, cell in zip(widths, cells, strict=True)]
        whole = [b + c if bottom else c + b for b, c in zip(blanks, cells, strict=True)]
        return [gap.join(line).rstrip() for line in zip(*whole, strict=True)]

    header = beside([column.name for column in columns], bottom=True)
    rule = "─" * (sum(widths) + len(gap) * (len(widths) - 1))
    rows = zip(*(column.cells for column in columns), strict=True)
    return [*header, rule, *itertools.chain.from_iterable(beside(row) for row in rows)]


def _left(text: str, width: int) -> str:
    return set_cell_size(text, max(width, cell_len(text)))


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        digits = ".2g" if 0 < abs(value) < 0.001 else ".3f" if abs(value) < 10 else ".1f"
        return f"{value:{digits}}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    text = str(value)
    return visible(text, len(text))
