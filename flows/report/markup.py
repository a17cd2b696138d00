"""HTML by construction: whatever is not `Html` already is escaped, so model output stays text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from typing import Any

_VOID = frozenset({"meta", "br", "hr"})


class Html(str):
    """Text that is markup and is not to be escaped again."""

    __slots__ = ()


def text(value: object) -> Html:
    """The value as HTML text."""
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """`<name attributes>children</name>`. `class_` is `class`, `data_label` is `data-label`.

    An attribute that is None or False is left out, True stands alone; a child that is None is left out.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(attribute if value is True else f'{attribute}="{text(value)}"')
    opening = f"<{' '.join(parts)}>"
    if name in _VOID:
        return Html(opening)
    return Html(f"{opening}{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Children one after the other; None is left out, lists are opened."""
    found = []
    for child in children:
        if isinstance(child, list | tuple):
            found.append(join(*child))
        elif child is not None:
            found.append(text(child))
    return Html("".join(found))


def json_block(identifier: str, value: Any) -> Html:
    """Data for the page's script; `<`, `>` and `&` are escaped, so nothing in it can end the block."""
    content = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)
    for character in "<>&":
        content = content.replace(character, f"\\u{ord(character):04x}")
    return Html(f'<script type="application/json" id="{text(identifier)}">{content}</script>')


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], class_: str | None = None) -> Html:
    """A table that scrolls within its own box; numbers stand to the right, None is a dash."""
    numeric = [
        bool(rows) and all(row[column] is None or _is_number(row[column]) for row in rows)
        for column in range(len(headers))
    ]
    head = [element("th", header, scope="col", class_=_side(numeric[i])) for i, header in enumerate(headers)]
    body = [
        element(
            "tr",
            [
                element("td", "–" if cell is None else cell, class_=_side(numeric[i]), data_label=headers[i])
                for i, cell in enumerate(row)
            ],
        )
        for row in rows
    ]
    made = element("table", element("thead", element("tr", head)), element("tbody", body), class_=class_)
    return element("div", made, class_="scroll", tabindex="0", role="region", aria_label="table")


def _side(numeric: bool) -> str | None:
    return "number" if numeric else None


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) or (
        isinstance(cell, str) and re.fullmatch(r"[+−-]?[\d.,]+(\s?[%a-zA-Z]{1,3})?", cell) is not None
    )
