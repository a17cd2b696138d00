"""A stage says when many of its completions were cut."""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl
import pytest

from data.resolve import resolve
from infra.artifacts.artifact import ArtifactRef
from infra.store.store import Store
from tasks.stage.graph import locate
from tasks.stage.truncation import watch_truncation
from tasks.stage.work import Work

REF = ArtifactRef(uri="made/before", digest="0" * 64, kind="model", bytes=1)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    config = resolve("a", overrides=["questions.max_tokens=20"])
    location = locate(config, 1, "generate_questions", {"challenger": REF})
    return Work(config, 1, Store(str(tmp_path / "store")), location)


def _reasons(cut: int, ended: int) -> list[pl.Series]:
    return [pl.Series(["length"] * cut), pl.Series(["stop"] * ended)]


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All that rzero has logged; threads that other tests have left may log of other libraries meanwhile."""
    return [record.getMessage() for record in caplog.records if record.name.partition(".")[0] == "rzero"]


def test_more_than_a_tenth_is_one_line_and_a_figure(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        watch_truncation(work, _reasons(11, 89), "questions")
    assert work.figures == {"truncated_share": 0.11}
    (said,) = set(_said(caplog))
    assert said.startswith(
        "generate_questions: 11.0% of 100 completions were cut at questions.max_tokens (20); raise it"
    )


def test_a_tenth_is_a_figure_alone_and_nothing_drawn_is_none(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        watch_truncation(work, [], "questions")
        assert work.figures == {}
        watch_truncation(work, _reasons(10, 90), "questions")
    assert work.figures == {"truncated_share": 0.1}
    assert _said(caplog) == []
