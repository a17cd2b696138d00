"""The site: its reference is complete, its pages are all in the navigation, broken links are found."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from data.resolve import resolve, yaml_names
from data.section import dotted
from docs.build_site import ROOT, build, commands_page, faults, settings_page
from flows.cli import COMMANDS

PAGE = "<html><body>{}</body></html>"


def test_every_setting_of_every_preset_is_in_the_reference() -> None:
    page = "\n".join(settings_page())
    presets = [resolve("page", name).model_dump(mode="json") for name in yaml_names("data.presets")]
    names = {name for values in presets for name, value in dotted(values) if value is not None}
    named = {name for name in names if not name.startswith(("evaluation.data", "timeout_seconds"))}
    assert len(named) > 60
    assert {name for name in named if f"| `{name}`" not in page} == set()


def test_every_field_of_every_section_has_a_description_there() -> None:
    rows = [line for line in settings_page() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []


def test_no_heading_of_the_reference_stands_there_twice() -> None:
    headings = [line for page in (settings_page(), commands_page()) for line in page if line.startswith("#")]
    assert len(headings) == len(set(headings))


def test_every_command_is_in_the_reference_with_its_options() -> None:
    page = "\n".join(commands_page())
    assert re.findall(r"^## rzero (\w+)$", page, re.MULTILINE) == list(COMMANDS)
    assert r"| `--set KEY=VALUE` | Override a setting; repeatable. |" in page


def _pages(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages(item)


def test_every_page_is_in_the_navigation() -> None:
    nav = list(_pages(yaml.safe_load((ROOT / "docs/mkdocs.yml").read_text())["nav"]))
    assert len(nav) == len(set(nav))
    ours = {str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}
    assert {name for name in nav if "/reference/" not in name} == ours


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="b.html">', []),
        ('<a href="b.html#there">', []),
        ('<a href="https://example.org">', []),
        ('<a href="c.html">', ["a.html: c.html is not there"]),
        ('<a href="b.html#gone">', ["a.html: b.html#gone: there is no such anchor"]),
        ('<img src="none.png">', ["a.html: none.png is not there"]),
        ('<script src="https://cdn.example.org/x.js">', ["a.html: would load https://cdn.example.org/x.js"]),
        ('<link href="//fonts.example.org/f.css">', ["a.html: would load //fonts.example.org/f.css"]),
    ],
)
def test_a_built_page_is_searched_for_what_is_not_there(tmp_path: Path, body: str, said: list[str]) -> None:
    (tmp_path / "a.html").write_text(PAGE.format(body))
    (tmp_path / "b.html").write_text(PAGE.format('<h2 id="there">b</h2>'))
    assert faults(tmp_path) == said


@pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="the site's builder is not installed: make docs"
)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    assert build(tmp_path / "docs") == []
    assert "The Challenger earns" in (tmp_path / "docs/site/index.html").read_text()
