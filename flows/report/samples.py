"""Sample questions with their votes, chosen by number and not by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from flows.report.markup import Html, element, join, text
from flows.report.read import Run
from flows.text import visible

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


def sample_section(run: Run, heading: str | None) -> Html | None:
    """The sample of each finished iteration of a run, newest open; None where there is none."""
    made = []
    for iteration in run.iterations():
        scored = run.table(iteration, "score_and_filter")
        if scored is None:
            continue
        chosen = choose(scored)
        answers = run.table(iteration, "sample_answers", columns=["question_id", "answer"])
        written = run.table(iteration, "generate_questions", columns=["question_id", "completion"])
        counted = _answers_by_question(answers, chosen["question_id"].to_list())
        completions = _completions(written, chosen["question_id"].to_list())
        rows = [
            _row(row, counted.get(row["question_id"]), completions.get(row["question_id"]))
            for row in chosen.iter_rows(named=True)
        ]
        made.append((iteration, scored.height, rows))
    if not made:
        return None
    last = made[-1][0]
    parts = [
        element(
            "details",
            element("summary", f"Iteration {iteration}: {len(rows)} of {total} candidates"),
            element("div", _table(rows), class_="scroll", tabindex="0", role="region", aria_label="table"),
            open=iteration == last,
            class_="samples",
        )
        for iteration, total, rows in made
    ]
    return join(element("h3", heading) if heading else None, parts)


def _answers_by_question(
    answers: pl.DataFrame | None, wanted: Sequence[int]
) -> dict[int, Counter[str | None]]:
    if answers is None:
        return {}
    counted: dict[int, Counter[str | None]] = {}
    for question, answer in answers.filter(pl.col("question_id").is_in(list(wanted))).iter_rows():
        counted.setdefault(question, Counter())[answer] += 1
    return counted


def _completions(written: pl.DataFrame | None, wanted: Sequence[int]) -> dict[int, str]:
    if written is None:
        return {}
    return dict(written.filter(pl.col("question_id").is_in(list(wanted))).iter_rows())


_HEADERS = ("No.", "Question", "Majority", "Votes", "Answers as written", "Truth", "What became of it")


def _table(rows: Sequence[Sequence[object]]) -> Html:
    head = element("tr", [element("th", header, scope="col") for header in _HEADERS])
    body = [
        element(
            "tr",
            [element("td", cell, data_label=header) for header, cell in zip(_HEADERS, row, strict=True)],
        )
        for row in rows
    ]
    return element("table", element("thead", head), element("tbody", body), class_="cards")


def _row(row: Mapping[str, Any], answers: Counter[str | None] | None, completion: str | None) -> list[object]:
    return [
        row["question_id"],
        _question(row["question"], completion),
        _model_text(row["majority_answer"], 200),
        _votes(row),
        _answers(answers),
        _truth(row),
        _fate(row),
    ]


def _question(question: str | None, completion: str | None) -> Html:
    if question is not None:
        return _model_text(question)
    note = element("span", "no question could be read from: ", class_="quiet")
    return join(note, _model_text(completion)) if completion is not None else text("–")


def _model_text(value: str | None, limit: int = 1200) -> Html:
    """What a model wrote, kept apart from the text around it."""
    return text("–") if value is None else element("bdi", visible(value, limit), class_="model")


def _votes(row: Mapping[str, Any]) -> Html:
    if row["samples"] == 0:
        return text("–")
    answered = row["samples"] - row["abstentions"]
    if not answered:
        return text(f"none of {row['samples']} answered")
    none = f", {row['abstentions']} gave none" if row["abstentions"] else ""
    meter = element(
        "span", element("span", style=f"width:{100 * row['p_hat']:.0f}%"), class_="meter", aria_hidden="true"
    )
    return join(f"{row['votes']} of {answered}{none}", meter)


def _answers(answers: Counter[str | None] | None) -> Html:
    if not answers:
        return text("–")
    ordered = sorted(answers.items(), key=lambda item: (item[0] is None, -item[1], item[0] or ""))
    parts: list[object] = []
    for answer, count in ordered[:_SHOWN_ANSWERS]:
        shown = element("i", "none") if answer is None else _model_text(answer, 80)
        parts += [", " if parts else None, element("span", shown, f" ×{count}", class_="vote")]
    rest = sum(count for _, count in ordered[_SHOWN_ANSWERS:])
    return join(parts, f", others ×{rest}" if rest else None)


def _truth(row: Mapping[str, Any]) -> Html:
    if row["true_answer"] is None:
        judged = {True: "judged right", False: "judged wrong", None: None}[row.get("label_is_right_by_judge")]
        known = element("span", judged or "not known", class_="quiet")
        return known if row["question"] is not None else text("–")
    verdict = {
        True: element("span", "✓ label right", class_="good"),
        False: element("span", "✗ label wrong", class_="bad"),
        None: None,
    }[row["label_is_right"]]
    outside = element("span", "out of range", class_="quiet") if row["in_range"] is False else None
    return join(_model_text(row["true_answer"], 80), " ", verdict, " ", outside)


def _fate(row: Mapping[str, Any]) -> Html:
    if row["kept"]:
        return element("span", "kept", class_="good")
    return text(str(row["drop_reason"] or "dropped").replace("_", " ").replace(":", ": "))
