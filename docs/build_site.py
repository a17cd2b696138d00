"""Builds the documentation as a site, in build/docs/site.

    python -m docs.build_site        (or `make docs`)

The pages are the repository's own, at their own paths, so that a link works on the site as it does on GitHub.
The reference of settings and commands is written from the code. Broken links are errors, and so is whatever a
browser would fetch from elsewhere.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import click

from data.backends import variants
from data.config import RunConfig
from data.resolve import yaml_names
from data.section import NEVER, Section
from flows.cli import COMMANDS
from tasks.rewards import terms

ROOT = Path(__file__).parents[1]
BESIDE_DOCS = ("*.md", "LICENSE", "CITATION.cff")
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


def build(folder: Path) -> list[str]:
    """Build the site in `folder`/site; what is wrong with it, a line each."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(
        ROOT / "docs", pages / "docs", ignore=shutil.ignore_patterns("*.py", "*.yml", "__pycache__")
    )
    for pattern in BESIDE_DOCS:
        for path in ROOT.glob(pattern):
            shutil.copy(path, pages)
    reference = pages / "docs/reference"
    reference.mkdir()
    (reference / "settings.md").write_text("\n".join(settings_page()) + "\n")
    (reference / "commands.md").write_text("\n".join(commands_page()) + "\n")
    config = shutil.copy(ROOT / "docs/mkdocs.yml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(config)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return [_said(done.stdout)] if done.returncode else faults(folder / "site")


def _said(output: str) -> str:
    """What the builder says is wrong; without its own traceback where it has only been strict."""
    said, _, traceback = output.partition("Traceback (most recent call last):")
    return re.sub(
        r"\x1b\[[0-9;]*m", "", said.strip() if "because --strict flag is set" in traceback else output
    )


def settings_page() -> Iterator[str]:
    """The page of all settings: every section, every reward term, every preset."""
    yield "# Settings"
    yield ""
    yield "Written from the code that declares them (`data/config.py`, `data/backends.py`,"
    yield "`tasks/rewards/terms/`). `--set section.setting=value` sets one, `--preset` many. ° marks those"
    yield "that say where or how fast something is computed, not what: they may differ when a run is resumed."
    for title, path, section in sections(RunConfig):
        yield from ("", f"## {title}", "", _prose(section.__doc__), "")
        yield from _table(path, section)
    for name in terms.names():
        term = terms.get(name)
        role = f"A {term.role} of the Challenger's reward. Source: {term.source}."
        yield from ("", f"## challenger.reward.{name}", "", _prose(role), "")
        yield from _table(f"challenger.reward.{name}", term.settings)
    for folder, heading in (("presets", "Preset"), ("presets.overlays", "Overlay")):
        for name in yaml_names(f"data.{folder}"):
            text = (ROOT / "data" / folder.replace(".", "/") / f"{name}.yaml").read_text().strip()
            yield from ("", f"## {heading} {name}", "", "```yaml", text, "```")


def sections(model: type[Section], path: str = "") -> Iterator[tuple[str, str, type[Section]]]:
    """Title, dotted path and class of a section and of all below it; one for each backend."""
    yield path or "The run", path, model
    for name, field in model.model_fields.items():
        below = f"{path}.{name}".lstrip(".")
        backends = variants(field.annotation)
        for backend, kind in backends.items():
            yield f"{below}, backend {backend}", below, kind
        for kind in () if backends else (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from sections(kind, below)


def _table(path: str, section: type[Section]) -> Iterator[str]:
    yield "| setting | takes | default | what it is |"
    yield "|---|---|---|---|"
    schema = section.model_json_schema()
    for name, field in schema["properties"].items():
        mark = "°" if NEVER.items() <= field.items() else ""
        dotted = f"{path}.{name}".lstrip(".")
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        text = _prose(field.get("description", ""))
        yield f"| `{dotted}`{mark} | {_prose(_kind(field))} | {_cell(default)} | {text} |"


def _kind(field: Mapping[str, Any]) -> str:
    """What a setting takes, from its JSON schema."""
    if ways := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_kind, ways)))
    if "$ref" in field:
        return "a section"
    if "const" in field or "enum" in field:
        return ", ".join(map(str, field.get("enum") or [field["const"]]))
    kind = str(field.get("type", "anything"))
    if kind == "array":
        return f"a list of: {_kind(field['items'])}"
    if kind == "object":
        return f"by name: {_kind(field.get('additionalProperties', {}))}"
    words = {"integer": "whole number", "string": "text", "boolean": "true, false"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {field[key]}" for key, sign in signs.items() if key in field]
    return " ".join((words.get(kind, kind), ", ".join(bounds))).strip()


def commands_page() -> Iterator[str]:
    """The page of all commands, as `--help` tells them."""
    yield "# Commands"
    yield ""
    yield "Written from the code: what `rzero COMMAND --help` says."
    for name in COMMANDS:
        command: click.Command = getattr(importlib.import_module(f"flows.commands.{name}"), name)
        context = click.Context(command, info_name=f"rzero {name}", terminal_width=110)
        yield from ("", f"## rzero {name}", "", _prose(command.help or "", paragraphs=True), "")
        yield from ("```", " ".join((f"rzero {name}", *command.collect_usage_pieces(context))), "```", "")
        yield from ("| option | what it does |", "|---|---|")
        records = (parameter.get_help_record(context) for parameter in command.get_params(context))
        yield from (
            f"| `{_cell(option)}` | {_prose(text)} |" for option, text in filter(None, records) if text
        )


def _prose(text: str | None, *, paragraphs: bool = False) -> str:
    """A text of the code as Markdown, in one line unless its paragraphs are kept."""
    parts = (" ".join(part.split()) for part in (text or "").split("\n\n"))
    joined = ("\n\n" if paragraphs else " ").join(parts)
    return _cell(joined.replace("&", "&amp;").replace("<", "&lt;").replace("*", r"\*").replace("[", r"\["))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


class _Page(HTMLParser):
    """The anchors of a page, and what it links to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (name := FETCHED.get(tag, "")) in given:
            self.loads.append(given[name])


def faults(site: Path) -> list[str]:
    """What a reader of the built site would stumble over: links, pictures and anchors that are not there."""
    pages = {path: _Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    return [
        f"{path.relative_to(site)}: {fault}"
        for path, page in sorted(pages.items())
        for target in dict.fromkeys((*page.links, *page.loads))
        if (fault := _fault(path, target, target in page.loads, pages))
    ]


def _fault(page: Path, target: str, is_loaded: bool, pages: Mapping[Path, _Page]) -> str | None:
    parts = urlsplit(target)
    if parts.scheme == "data":
        return None
    if parts.scheme or parts.netloc:
        return f"would load {target}" if is_loaded else None
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if path.is_dir():
        path /= "index.html"
    if not path.is_file():
        return f"{target} is not there"
    if path in pages and unquote(parts.fragment) not in pages[path].anchors:
        return f"{target}: there is no such anchor"
    return None


if __name__ == "__main__":
    where = ROOT / "build/docs"
    if wrong := build(where):
        sys.exit("\n".join(wrong))
    site = (where / "site").relative_to(ROOT)
    print(f"To look at it: {sys.executable} -m http.server --bind 127.0.0.1 --directory {site}")
