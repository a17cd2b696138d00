"""The page: one file, no request to anywhere, no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from typing import Any

from flows.report.charts import Chart
from flows.report.markup import Html, element, join, json_block, table
from flows.report.theme import DARK_TWINS


@dataclass(frozen=True)
class Section:
    """A part of the page. `nothing` says what is missing where it has neither charts nor content."""

    key: str
    title: str
    intro: str
    charts: Sequence[Chart] = ()
    content: Html | None = None
    nothing: str = "Nothing to show yet: no iteration has come this far."


def render(title: str, subtitle: Sequence[str], top: Html, sections: Sequence[Section]) -> str:
    """The whole file as text. The same arguments give the same text."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    scripts = [_script_text(get_plotlyjs()), _asset("report.js")]
    figures = {chart.key: _figure(chart) for section in sections for chart in section.charts}
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Html(_asset("report.css"))),
    )
    navigation = [element("a", section.title, href=f"#{section.key}") for section in sections]
    titles = element("div", element("h1", title), [element("div", line, class_="quiet") for line in subtitle])
    body = element(
        "body",
        element("header", titles, element("button", "Dark", id="theme", type="button", hidden=True)),
        element("nav", navigation, aria_label="Sections"),
        element(
            "main",
            element("noscript", element("p", "The charts need JavaScript; the numbers under each do not.")),
            top,
            [_section(section) for section in sections],
        ),
        element("footer", _versions()),
        json_block("charts", figures),
        json_block("dark-twins", DARK_TWINS),
        [element("script", Html(script)) for script in scripts],
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Html:
    empty = not section.charts and section.content is None
    return element(
        "section",
        element("h2", section.title),
        element("p", section.nothing, class_="quiet") if empty else element("p", section.intro),
        element("div", [_chart(chart) for chart in section.charts], class_="charts")
        if section.charts
        else None,
        section.content,
        id=section.key,
    )


def _chart(chart: Chart) -> Html:
    height = chart.figure.layout.height or 330
    return element(
        "figure",
        element("h3", chart.title),
        element(
            "div",
            id=f"plot-{chart.key}",
            class_="plot",
            role="img",
            aria_label=chart.title,
            style=f"height:{height}px",
        ),
        element("figcaption", chart.caption),
        element("details", element("summary", "Numbers"), table(chart.headers, chart.rows)),
        class_="wide" if chart.wide else None,
    )


def _figure(chart: Chart) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(chart.figure.to_json())
    return {"data": found["data"], "layout": found["layout"]}


def _asset(name: str) -> str:
    return _script_text(
        resources.files("flows.report").joinpath(f"assets/{name}").read_text(encoding="utf-8")
    )


def _script_text(script: str) -> str:
    """A script of ours as it stands in the page; its line ends are those that a browser will hash."""
    if "</script" in script.lower() or "<!--" in script:
        script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return script.replace("\r\n", "\n").replace("\r", "\n")


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: no request, and no script but these two, by their hashes."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _versions() -> str:
    parts = []
    for package in ("rzero", "plotly", "polars"):
        try:
            parts.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return f"Written by rzero from the store alone. {', '.join(parts)}."


def paragraph(*children: object) -> Html:
    """A paragraph."""
    return element("p", join(*children))
