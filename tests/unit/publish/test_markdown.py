"""What models wrote is shown as it is: in a table of markdown it does nothing."""

from __future__ import annotations

import html
import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.publish.markdown import escaped, sample_of_questions

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[press](javascript:alert(1))",
    "![seen](http://evil.example/pixel.png)",
    "see http://evil.example or www.evil.example or me@evil.example",
    "a | b | c",
    "first\n\n# second\n- third",
    "`code` *bold* ~~gone~~ $x$ &lt;b&gt; &#60;b&#62;",
    "\\| \\<b>",
    "right\u202eto left\x1b[31m\u200b",
    "<http://evil.example>",
    "```\nfence",
]


def _row(number: int, question: str | None, **changed: Any) -> dict[str, Any]:
    row = {
        "question_id": number,
        "question": question,
        "majority_answer": "4",
        "true_answer": None,
        "p_hat": 0.5,
        "votes": 5,
        "samples": 10,
        "abstentions": 0,
        "reward": 0.9,
        "kept": True,
        "drop_reason": None,
    }
    return row | changed


def _scored(rows: list[dict[str, Any]]) -> pl.DataFrame:
    text = dict.fromkeys(("question", "majority_answer", "true_answer", "drop_reason"), pl.String)
    return pl.DataFrame(rows, schema_overrides=text)


def _rendered(markdown: str) -> str:
    """By a renderer that lets HTML through: nothing may rest on the renderer's own caution."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(markdown)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_renders_as_one_cell_of_plain_text(text: str) -> None:
    page = _rendered(sample_of_questions(_scored([_row(0, text)])))
    assert set(re.findall(r"</?([a-z0-9]+)", page)) == {"p", "table", "thead", "tbody", "tr", "th", "td"}
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    assert len(cells) == 7
    shown = html.unescape(cells[1]).replace("\N{WORD JOINER}", "")
    visible = re.sub("[\u202e\x1b\u200b]", "\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    assert shown == visible


def test_no_bare_address_is_left_for_a_renderer_to_link() -> None:
    shown = html.unescape(_rendered(escaped("http://evil.example www.evil.example me@evil.example")))
    assert not re.search(r"://\w|www\.\w|@\w", shown)


@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_text_stays_within_its_cell(text: str) -> None:
    page = _rendered(sample_of_questions(_scored([_row(0, text)])))
    assert page.count("<td") == 7
    assert set(re.findall(r"</?([a-z0-9]+)", page)) == {"p", "table", "thead", "tbody", "tr", "th", "td"}


def test_each_reason_for_dropping_is_in_the_sample() -> None:
    reasons = ["too_easy"] * 30 + ["too_hard"] * 30 + ["bad_format:no_box"] * 2
    rows = [
        _row(number, f"q{number}", kept=False, drop_reason=reason) for number, reason in enumerate(reasons)
    ]
    page = _rendered(sample_of_questions(_scored([*rows, _row(99, "kept one")])))
    assert {"too_easy", "too_hard", "bad_format:no_box", "kept one"} <= set(
        re.findall(r"<td[^>]*>(.*?)</td>", page)
    )


def test_a_question_that_nobody_answered_has_no_votes_to_show() -> None:
    row = _row(
        0, None, samples=0, votes=0, majority_answer=None, p_hat=0.0, kept=False, drop_reason="bad_format:x"
    )
    cells = re.findall(r"<td[^>]*>(.*?)</td>", _rendered(sample_of_questions(_scored([row]))))
    assert cells[:3] == ["bad_format:x", "–", "–"]
