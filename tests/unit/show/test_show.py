"""Tables fit the width that they are given, and cut no word."""

from __future__ import annotations

from typing import Any

import pytest

from flows.live.show import cut, show_table

SUMMARY = [
    {"iteration": 0, "reward before": None, "label accuracy": 0.9512, "pass@1": 0.4031, "seconds": 253.51},
    {"iteration": 10, "reward before": 0.51, "label accuracy": 3e-5, "pass@1": 1.0, "seconds": 9.5},
]


def shown(capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], **options: Any) -> list[str]:
    show_table(rows, **options)
    return capsys.readouterr().out.splitlines()


def test_numbers_stand_to_the_right_under_headers_that_wrap_at_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys, SUMMARY) == [
        "           reward     label",
        "iteration  before  accuracy  pass@1  seconds",
        "────────────────────────────────────────────",
        "        0       –     0.951   0.403    253.5",
        "       10   0.510     3e-05   1.000    9.500",
        "",
    ]


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 200])
def test_every_width_is_kept_and_shows_every_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [row | {"figures": {"kept_share": 0.5, "terms": 12.25}} for row in SUMMARY]
    lines = shown(capsys, rows)
    assert max(len(line) for line in lines) <= columns
    words = " ".join(lines).split()
    for word in ("iteration", "accuracy", "pass@1", "253.5", "9.500", "0.951", "terms=12.2"):
        assert word in words
    assert sum(word.startswith("kept_share=0.500") for word in words) == 2


def test_columns_that_do_not_fit_follow_below_with_the_key_columns_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    rows = [{"name": "a", "seed": 1, "accuracy": 0.5, "reward": 0.25, "completion": "x"}]
    lines = shown(capsys, rows, keys=2)
    assert [line for line in lines if line.startswith("name")] == [
        "name  seed  accuracy",
        "name  seed  reward",
        "name  seed  completion",
    ]


def test_wide_characters_keep_the_columns_straight(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, [{"question": "中文", "kept": "yes"}, {"question": "a", "kept": "no"}])
    assert lines[2:4] == ["中文      yes", "a         no"]


def test_a_long_text_is_cut_with_an_ellipsis_and_a_number_never() -> None:
    assert cut("x" * 50, 10) == "x" * 9 + "…"
    assert cut("a\n b\x1b[2J", 20) == "a b\\u001b[2J"
    assert cut(12345678901234567890, 10) == 12345678901234567890
    assert cut(None, 10) is None
