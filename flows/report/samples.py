"""Sample questions with their votes, chosen by number and not by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from flows.report.read import Run

_KEPT, _DROPPED, _BADLY_FORMED = 10, 8, 2
_SHOWN_ANSWERS = 5


def spaced(count: int, wanted: int) -> list[int]:
    """`wanted` indices spread evenly over `count` rows; all of them where there are no more."""
    if count <= wanted:
        return list(range(count))
    return [index * count // wanted for index in range(wanted)]


def choose(scored: pl.DataFrame) -> pl.DataFrame:
    """Some kept, some dropped and a few badly formed candidates, evenly spaced by their number."""
    ordered = scored.sort("question_id")
    parts = []
    for condition, wanted in (
        (pl.col("kept"), _KEPT),
        (~pl.col("kept") & pl.col("question").is_not_null(), _DROPPED),
        (~pl.col("kept") & pl.col("question").is_null(), _BADLY_FORMED),
    ):
        part = ordered.filter(condition)
        parts.append(part[spaced(part.height, wanted)])
    return pl.concat(parts)


def samples(run: Run) -> list[dict[str, Any]]:
    """For each finished iteration of a run: iteration, total candidates, and the rows of the sample.

    A row has the columns of `scored`, and: completion, answers (the most frequent as written, each with its
    count; None for no answer), other_answers (the count of the rest).
    """
    found = []
    for iteration in run.iterations():
        scored = run.table(iteration, "score_and_filter")
        if scored is None:
            continue
        chosen = choose(scored)
        wanted = pl.col("question_id").is_in(chosen["question_id"].to_list())
        # Earlier versions kept what they read of a completion beside it.
        answers = run.table(iteration, "score_and_filter", "votes", ["question_id", "answer"])
        if answers is None:
            answers = run.table(iteration, "sample_answers", columns=["question_id", "answer"])
        counted: dict[int, Counter[str | None]] = {}
        for question, answer in answers.filter(wanted).iter_rows() if answers is not None else ():
            counted.setdefault(question, Counter())[answer] += 1
        written = run.table(iteration, "generate_questions", columns=["question_id", "completion"])
        completions = dict(written.filter(wanted).iter_rows()) if written is not None else {}
        rows = [
            {"label_is_right_by_judge": None}
            | row
            | {"completion": completions.get(row["question_id"])}
            | _most_frequent(counted.get(row["question_id"], Counter()))
            for row in chosen.iter_rows(named=True)
        ]
        found.append({"iteration": iteration, "total": scored.height, "rows": rows})
    return found


def _most_frequent(answers: Counter[str | None]) -> dict[str, Any]:
    """Samples without an answer come last."""
    ordered = sorted(answers.items(), key=lambda item: (item[0] is None, -item[1], item[0] or ""))
    rest = sum(count for _, count in ordered[_SHOWN_ANSWERS:])
    return {"answers": ordered[:_SHOWN_ANSWERS], "other_answers": rest}
