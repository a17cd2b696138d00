"""Tables and JSON on a terminal, in a pipe or in a file."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
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


def tell(text: str, err: bool = False, indent: int = 0) -> None:
    """Print a sentence in lines that fit the width; a path stays whole, longer or not."""
    rest = " " * indent
    lines = textwrap.wrap(
        text, width(), subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    for line in lines or [""]:
        say(line, err)


def tell_command(command: str, label: str = "") -> None:
    """Print a command that runs as it is pasted: over several lines where one is too short for it."""
    indent = " " * len(label)
    lines = textwrap.wrap(command, width() - len(label) - 2, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        more = " \\" if number + 1 < len(lines) else ""
        say(f"{indent if number else label}{line}{more}")


def show_json(value: Any) -> None:
    """Print a value as JSON; `say` spells control characters as JSON does."""
    say(json.dumps(value, indent=1, ensure_ascii=False))


def fits(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether rows fit into one table without a cell that wraps."""
    return _fit(_columns(rows), wrap=False) is not None


def show_table(
    rows: Sequence[Mapping[str, Any]], title: str | None = None, keys: int = 1, wide: bool = False
) -> None:
    """Print rows as a table that fits the width, or is as `wide` as its longest row; None as a dash.

    Words are never cut. Columns that do not fit beside each other follow in further tables, each of which
    begins with the first `keys` columns.
    """
    columns = _columns(rows)
    if title:
        tell(title)
        say("")
    room = sys.maxsize if wide else None
    head, rest = columns[:keys], columns[keys:]
    while rest:
        for count in range(len(rest), 0, -1):
            shown = [*head, *rest[:count]]
            if _fit(shown, len(shown) == len(columns), room):
                break
        for line in _lines(shown, room):
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


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[_Column]:
    return [_Column(name, [row[name] for row in rows]) for name in (rows[0] if rows else ())]


def _fit(
    columns: Sequence[_Column], wrap: bool = True, within: int | None = None
) -> tuple[str, list[int]] | None:
    """The gap between columns and the width of each; None if they do not fit beside each other.

    Where cells may wrap, the widest column that has a space to break at gives way first.
    """
    for wraps, gap in itertools.product((False, True) if wrap else (False,), ("  ", " ")):
        room = (within or width()) - len(gap) * (len(columns) - 1)
        widths = [column.natural for column in columns]
        while sum(widths) > room:
            spare = [i for i, column in enumerate(columns) if wraps and widths[i] > column.least]
            if not spare:
                break
            widths[max(spare, key=lambda i: widths[i])] -= 1
        else:
            return gap, widths
    return None


def _lines(columns: Sequence[_Column], within: int | None) -> list[str]:
    """The header, a rule and the rows."""
    gap, widths = _fit(columns, within=within) or (" ", [column.least for column in columns])

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
