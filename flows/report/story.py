"""What the report tells: the figures, charts and tables that its template puts in order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import yaml
from markupsafe import Markup

from data.foreign import one_line, visible
from flows.report import accuracy as acc
from flows.report import charts_questions as cq
from flows.report import charts_results as cr
from flows.report import findings
from flows.report import questions as q
from flows.report.answers import before_and_after, habits_shown, spaced
from flows.report.page import render
from flows.report.read import Run, collect, config_differences, lines_of
from flows.summary import summary_rows
from flows.text import number, percent, size
from infra.store.store import Store
from infra.words import plural

_CONFIG_WIDTH = 110
_KEPT, _DROPPED, _BADLY_FORMED = 10, 8, 2
_SHOWN_ANSWERS = 5
_SHARES = ("kept_share", "unique_share", "label_accuracy", "greedy", "pass@1")


def report_html(store: Store, runs: Sequence[Run], target: Path | None = None) -> str:
    """The report of these runs as one HTML text. Links are relative where `target` lies in the store.

    Reads each table once and holds it in memory: evaluation, scored, probe, metrics, the final answers.
    """
    lines = lines_of(runs)
    evaluation = collect(lines, "evaluate", columns=acc.COLUMNS)
    scored = q.with_known_labels(collect(lines, "score_and_filter"))
    probe = collect(lines, "train_challenger", "probe")
    metrics = {stage: collect(lines, stage, "metrics") for stage in ("train_challenger", "train_solver")}
    asked_before = [] if scored.is_empty() else q.asked_before(scored)
    in_lines = [run for line in lines for run in line.runs]
    return render(
        title=f"rzero report: {', '.join(run.name for run in runs)}",
        runs=runs,
        lines=lines,
        states=[_state(run) for run in runs],
        unfinished=[
            f"{run.name} is not finished{_as_of(run)}: {run.progress}." for run in runs if run.unfinished
        ],
        tiles=findings.tiles(lines, evaluation, scored),
        cautions=findings.cautions(lines, evaluation, probe, scored),
        charts={
            "accuracy": cr.accuracy_charts(lines, evaluation),
            "answers": [
                *cr.length_charts(lines, evaluation),
                *cr.habit_charts(lines, habits_shown(lines)),
            ],
            "groups": cr.group_charts(lines, evaluation),
            "challenger": [*cq.reward_charts(lines, probe, scored), *cq.p_hat_charts(lines, probe, scored)],
            "filter": cq.kept_charts(lines, scored),
            "labels": cq.label_charts(lines, scored),
            "questions": cq.shape_charts(lines, probe, scored),
            "diversity": cq.diversity_charts(lines, probe, scored),
            "training": cr.training_charts(lines, metrics),
            "time": cr.time_charts(runs),
        },
        summaries=[] if evaluation.is_empty() else [(run.name, *_summary(run)) for run in in_lines],
        answers=[(run.name, before_and_after(run)) for run in in_lines],
        clusters=_clusters(scored),
        asked_before=[[*where, percent(share)] for *where, share in asked_before],
        samples=[(run.name, samples(run)) for run in runs],
        hosts=sorted({item.manifest.host for run in runs for item in run.steps if item.manifest}),
        differences=[
            [name, *(one_line(str(value)) for value in values)] for name, values in config_differences(runs)
        ],
        configurations=[(run.name, _settings(run)) for run in runs],
        files=[(run.name, _files(store, run, target)) for run in runs],
    )


def _state(run: Run) -> str:
    config = run.config
    done = max(0, run.last_iteration)
    state = f"{done} of {plural(run.steps[-1].step.iteration, 'iteration')} finished"
    if run.unfinished:
        first = run.unfinished[0]
        state += f"; unfinished from {first.stage} of iteration {first.iteration} on, "
        state += "this report shows what there is"
    if any(item.step.is_earlier for item in run.steps):
        state += "; outdated in part, since other versions or settings made it (see rzero status)"
    for item in run.steps:
        if item.step.damage:
            state += (
                f"; left out as damaged: {item.step.damage} (`rzero verify {run.name} --set-aside` lets the "
                "next run make it again)"
            )
    base = config.base_model.name
    return f"{run.name}: preset {config.preset}, base model {base}, seed {config.seed}; {state}."


def _as_of(run: Run) -> str:
    """When the newest of what a report shows was finished."""
    ended = max((item.manifest.finished_at for item in run.steps if item.manifest), default=None)
    return f" as of {ended[:16].replace('T', ' ')} UTC" if ended else ""


def _summary(run: Run) -> tuple[list[str], list[list[object]]]:
    """Headers and rows of the table that `rzero run` prints, without what no iteration has."""

    def cell(name: str, value: Any) -> object:
        if name in _SHARES or name.startswith("maj@"):
            return percent(value)
        return value if name == "iteration" else number(value, 1 if name == "seconds" else 3)

    rows = [row for row in summary_rows(run.steps) if any(v for k, v in row.items() if k != "iteration")]
    known = dict.fromkeys(name for row in rows for name in row if name != "seconds")
    names = [name for name in known if any(row.get(name) is not None for row in rows)] + ["seconds"]
    shown = [[cell(name, row.get(name)) for name in names] for row in rows]
    return [name.replace("_", " ") for name in names], shown


def _clusters(scored: pl.DataFrame) -> list[list[object]]:
    """The largest clusters of each run and iteration, with a question of each."""
    if scored.is_empty():
        return []
    model = Markup('<bdi class="model">{}</bdi>')
    return [[*row, model.format(visible(question, 300))] for *row, question in q.largest_clusters(scored)]


def _settings(run: Run) -> str:
    settings = run.config.model_dump(mode="json")
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=_CONFIG_WIDTH)


def _files(store: Store, run: Run, target: Path | None) -> list[list[object]]:
    """A row for each Parquet file and each model: iteration, stage, table, rows, size, link."""
    rows: list[list[object]] = []
    for item in run.steps:
        if not item.manifest or not item.step.ref:
            continue
        where, uri = (item.step.iteration, item.step.stage), item.step.ref.uri
        for file in item.manifest.files:
            if file.name.endswith(".parquet"):
                table = file.name.rpartition("/")[0] or item.manifest.kind
                link = _link(store, f"{uri}/{file.name}", target)
                rows.append([*where, table, file.rows, size(file.bytes), link])
        if item.manifest.kind == "model":
            rows.append([*where, "model", None, size(item.manifest.bytes), _link(store, uri, target)])
    return rows


def _link(store: Store, uri: str, target: Path | None) -> Markup:
    """A link from the report to a local file, the URI as text for any other."""
    if not store.is_local:
        return Markup("<code>{}</code>").format(uri)
    path = Path(uri)
    if target is not None and target.resolve().is_relative_to(Path(store.root).resolve()):
        href = quote(os.path.relpath(path, target.resolve().parent))
    else:
        href = path.absolute().as_uri()
    return Markup('<a href="{}"><code>{}</code></a>').format(href, os.path.relpath(uri, store.root))


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
