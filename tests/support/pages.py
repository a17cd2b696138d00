"""The pages of the documentation, and what they say to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[str]:
    """The page's blocks of these languages; "" is that of blocks which name none."""
    return [block for language, block in FENCE.findall(page.read_text()) if language in languages]


def typed(page: Path) -> Iterator[list[str]]:
    """The commands of rzero and of make in the page's blocks, as words."""
    for block in blocks(page, "", "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("rzero ", "make ")):
                yield shlex.split(line, comments=True)
