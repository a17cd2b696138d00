"""The page: one file, no request to anywhere, no script but its own; all that is filled in is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jinja2
from markupsafe import Markup

from data.foreign import visible
from flows.report.charts import Chart
from flows.report.theme import DARK_TWINS

_NUMBER = re.compile(r"[+−-]?[\d.,]+(\s?[%a-zA-Z]{1,3})?")


def environment() -> jinja2.Environment:
    """The templates of the report. Model output passes through the filter `visible`."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["visible"] = visible
    made.globals["number_columns"] = number_columns
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":"), "sort_keys": True}
    return made


def render(charts: Mapping[str, Sequence[Chart]], **content: Any) -> str:
    """The whole file as text; `charts` by section. The same arguments give the same text."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    templates = environment()
    scripts = [_script(get_plotlyjs()), _script(templates.get_template("report.js").render())]
    page = templates.get_template("report.html")
    return page.render(
        charts=charts,
        figures={
            chart.key: {"data": drawn["data"], "layout": drawn["layout"]}
            for part in charts.values()
            for chart in part
            if (drawn := json.loads(chart.figure.to_json()))
        },
        dark_twins=DARK_TWINS,
        scripts=scripts,
        policy=_policy(scripts),
        versions=_versions(),
        **content,
    )


def number_columns(rows: Sequence[Sequence[object]]) -> list[bool]:
    """Whether each column holds numbers alone, with or without a unit, and so stands to the right."""
    return [all(cell is None or _is_number(cell) for cell in column) for column in zip(*rows, strict=True)]


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) or (isinstance(cell, str) and bool(_NUMBER.fullmatch(cell)))


def _script(script: str) -> Markup:
    """A script of ours as it stands in the page, with the line ends that a browser hashes."""
    if "</script" in script.lower() or "<!--" in script:
        script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return Markup(script.replace("\r\n", "\n").replace("\r", "\n"))


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: no request, and no script but these, by their hashes."""
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
