"""What the pages say to type is what the program takes, and what they link to is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from data.resolve import ConfigError, resolve
from flows.cli import main
from tests.support.pages import FENCE, PAGES, ROOT, typed

LINK = re.compile(r"\]\(([^)\s]+)\)")

COMMANDS = [(page.name, words) for page in PAGES for words in typed(page)]
RZERO = [
    pytest.param(words, id=f"{page}: {' '.join(words)}") for page, words in COMMANDS if words[0] == "rzero"
]


def parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of a command with its options; click.UsageError where it would not take them."""
    command = main.get_command(click.Context(main), words[1])
    if command is None:
        raise click.UsageError(f"no command {words[1]}")
    with command.make_context(f"rzero {words[1]}", words[2:]) as context:
        return context.params


@pytest.mark.parametrize("words", RZERO)
def test_a_command_on_a_page_is_one_that_rzero_takes(words: list[str]) -> None:
    given = parsed(words)
    if overrides := given.get("overrides"):
        if any(override.startswith("solver.learning_rat=") for override in overrides):
            with pytest.raises(ConfigError, match=r"did you mean 'solver\.learning_rate'"):
                resolve("page", given["preset"] or "tiny", overrides)
        else:
            resolve("page", given["preset"] or "tiny", overrides)


def test_the_commands_of_the_readme_and_the_tutorial_are_among_those() -> None:
    names = {name for name, words in COMMANDS if words[0] == "rzero"}
    assert {"README.md", "tutorial.md", "faq.md"} <= names
    assert len(RZERO) > 50


def test_a_make_command_on_a_page_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.MULTILINE))
    asked = {word for _, words in COMMANDS if words[0] == "make" for word in words[1:] if "=" not in word}
    assert {"demo", "docs"} <= asked
    assert asked <= targets


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_only_to_what_is_in_the_repository(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        other = (page.parent / path).resolve() if path else page
        assert other.is_file(), target
        assert not anchor or anchor in anchors(other), target
