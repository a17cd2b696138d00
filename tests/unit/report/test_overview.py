"""The overview of a run, as markdown: the figures of the report, and text of models that does nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from markdown_it import MarkdownIt

from data.config import RunConfig
from flows.overview import overview_text
from flows.report.read import Run, read_runs
from flows.summary import read_steps, summary_rows
from infra.store.store import Store

Fabricate = Callable[..., RunConfig]


def _rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def _cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [
        html.unescape("\n".join(re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row))).split("\n") for row in rows
    ]


def test_it_shows_each_iteration_with_intervals_and_the_figures_of_the_results(
    store: Store, fabricate: Fabricate
) -> None:
    config = fabricate(store, iterations=2)
    run = read_runs(store, ["made"])[0]
    header, *rows = _cells(_rendered(overview_text(run)))
    assert header[:4] == ["iteration", "greedy", "pass@1", "maj@4"]
    assert [row[0] for row in rows[:3]] == ["0, the base", "1", "2"]
    for row in rows[:3]:
        for cell in row[1:4]:
            value, low, high = map(float, re.findall(r"[\d.]+", cell))
            assert low <= value <= high
    kept = [
        f"{100 * row['kept_share']:.1f}" if row["kept_share"] else "–"
        for row in summary_rows(read_steps(store, config))
    ]
    assert [row[header.index("kept")] for row in rows[:3]] == kept


def test_three_questions_of_the_last_iteration_stand_there_and_nothing_in_them_has_an_effect(
    store: Store, fabricate: Fabricate
) -> None:
    fabricate(store, iterations=2, hostile=True)
    page = _rendered(overview_text(read_runs(store, ["made"])[0]))
    assert "Questions of iteration 2" in page
    tags = {"h2", "h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "img", "pre", "code"}
    assert set(re.findall(r"</?([a-z0-9]+)", page)) == tags
    (source,) = re.findall(r'<img src="([^"]*)"', page)
    assert source.startswith("data:image/png;base64,")
    assert [row[0] for row in _cells(page) if row[0] == "kept"] == ["kept"] * 3


@pytest.mark.parametrize(
    ("stop_before", "told"),
    [
        (
            (0, "prepare_base_model"),
            "the base model: 0 of 3 stages are finished, goes on at prepare_base_model",
        ),
        ((2, "sample_answers"), "iteration 2: 2 of 7 stages are finished, goes on at sample_answers"),
        (None, "all 2 iterations are finished"),
    ],
)
def test_it_says_how_far_the_run_has_come(
    store: Store, fabricate: Fabricate, stop_before: tuple[int, str] | None, told: str
) -> None:
    config = fabricate(store, iterations=2, stop_before=stop_before)
    run = Run(store, config, tuple(read_steps(store, config)))
    assert told in html.unescape(_rendered(overview_text(run)))
