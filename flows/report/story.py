"""What the report tells, section by section, and where each number comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import polars as pl
import yaml

from flows.commands.summary import summary_rows
from flows.report import accuracy as acc
from flows.report import charts_labels as cl
from flows.report import charts_questions as cq
from flows.report import charts_results as cr
from flows.report import findings
from flows.report import questions as q
from flows.report.markup import Html, element, join, table
from flows.report.page import Section, render
from flows.report.read import Line, Run, collect, config_differences, lines_of
from flows.report.samples import sample_section
from flows.text import number, percent, size, visible
from infra.store.store import Store

_CONFIG_WIDTH = 110


def report_html(store: Store, runs: Sequence[Run], target: Path | None = None) -> str:
    """The report of these runs as one HTML text. Links are relative where `target` lies in the store.

    Reads every table once, in memory: evaluation, scored, probe, metrics and the answers' final values.
    """
    lines = lines_of(runs)
    evaluation = collect(lines, "evaluate", columns=acc.COLUMNS)
    scored = q.with_known_labels(collect(lines, "score_and_filter"))
    probe = collect(lines, "train_challenger", "probe")
    metrics = {stage: collect(lines, stage, "metrics") for stage in ("train_challenger", "train_solver")}
    top = _top(lines, evaluation, probe, scored)
    sections = [
        *_result_sections(lines, evaluation),
        *_question_sections(lines, probe, scored),
        Section(
            "training",
            "Training",
            "One point a step; dotted lines part the iterations.",
            cr.training_charts(lines, metrics),
        ),
        _samples(runs),
        _time(runs),
        _config(runs),
        _files(store, runs, target),
    ]
    names = ", ".join(run.name for run in runs)
    return render(f"rzero report: {names}", [_state(run) for run in runs], top, sections)


def _state(run: Run) -> str:
    config = run.config
    done = max(0, run.last_iteration)
    goal = run.steps[-1].step.iteration
    state = f"{done} of {goal} iterations finished"
    if run.first_unfinished:
        iteration, stage = run.first_unfinished
        state += f"; unfinished from {stage} of iteration {iteration} on, this report shows what there is"
    for item in run.steps:
        if item.step.damage:
            state += f"; left out as damaged, to be made again by the next run: {item.step.damage}"
    base = config.base_model.name
    return f"{run.name}: preset {config.preset}, base model {base}, seed {config.seed}; {state}."


def _top(lines: Sequence[Line], evaluation: pl.DataFrame, probe: pl.DataFrame, scored: pl.DataFrame) -> Html:
    cards = findings.tiles(lines, evaluation, scored)
    told = findings.cautions(lines, evaluation, probe, scored)
    care = None
    if told:
        items = element("ul", [element("li", sentence) for sentence in told])
        care = element("div", element("b", "Read with care"), items, class_="care")
    return join(cards or element("p", "Nothing of this is finished yet.", class_="quiet"), care)


def _result_sections(lines: Sequence[Line], evaluation: pl.DataFrame) -> list[Section]:
    results = [
        join(element("h3", run.name) if sum(len(line.runs) for line in lines) > 1 else None, _summary(run))
        for line in lines
        for run in line.runs
    ]
    return [
        Section(
            "accuracy",
            "Accuracy",
            "Measured on held-out problems that no training has seen, with the same problems and the same "
            "dice in "
            "each iteration.",
            cr.accuracy_charts(lines, evaluation),
            join(results) if not evaluation.is_empty() else None,
        ),
        Section(
            "groups",
            "Accuracy by group",
            "The held-out set in its parts, from easy to hard where they are numbered.",
            cr.group_charts(lines, evaluation),
            nothing="Nothing to show: no evaluation is finished, or its benchmarks have one part only.",
        ),
    ]


def _summary(run: Run) -> Html:
    """The table that `rzero run` prints."""
    rows = [row for row in summary_rows(run.steps) if any(v for k, v in row.items() if k != "iteration")]
    known = dict.fromkeys(key for row in rows for key in row if key != "seconds")
    headers = [key for key in known if any(row.get(key) is not None for row in rows)] + ["seconds"]
    shares = {"kept_share", "unique_share", "label_accuracy", "pass@1", "greedy"}

    def cell(name: str, value: object) -> object:
        if not isinstance(value, int | float):
            return None if value is None else str(value)
        if name in shares or name.startswith("maj@"):
            return percent(value)
        return value if name == "iteration" else number(value, 1 if name == "seconds" else 3)

    shown = [[cell(name, row.get(name)) for name in headers] for row in rows]
    return table([header.replace("_", " ") for header in headers], shown)


def _question_sections(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Section]:
    labels = cl.label_charts(lines, scored)
    clusters = q.largest_clusters(scored) if not scored.is_empty() else []
    rows = [
        [run, iteration, size_, count, element("bdi", visible(example, 300), class_="model")]
        for run, iteration, size_, count, example in clusters
    ]
    headers = ("run", "iteration", "questions in it", "clusters of this size", "a question of one")
    return [
        Section(
            "challenger",
            "The Challenger's edge",
            "Before: fresh questions of the Challenger as the iteration found it (table probe). After: "
            "the candidates "
            "of the trained one (table scored). p̂ is the share of the answers that agree with the "
            "majority; questions "
            "without any answer are left out here.",
            [*cq.reward_charts(lines, probe, scored), *cq.p_hat_charts(lines, probe, scored)],
        ),
        Section(
            "filter",
            "What is kept",
            "Only questions on which the Solver is torn become its training set.",
            cl.kept_charts(lines, scored),
        ),
        Section(
            "labels",
            "Pseudo-labels",
            "How often the majority, which the Solver trains on, is right.",
            labels,
            nothing="Nothing to show: no iteration has come this far, or the true answers cannot be "
            "computed.",
        ),
        Section(
            "questions",
            "The questions",
            "How long they are, whether they are well formed and within what the base has seen. At 0: the "
            "untrained Challenger (the probe of iteration 1).",
            cq.shape_charts(lines, probe, scored),
        ),
        Section(
            "diversity",
            "Diversity",
            "Whether the Challenger keeps asking different things. At 0: the untrained Challenger.",
            cq.diversity_charts(lines, probe, scored),
            join(
                join(element("h3", "Largest clusters"), table(headers, rows)) if rows else None,
                _asked_before(scored),
            ),
        ),
    ]


def _asked_before(scored: pl.DataFrame) -> Html | None:
    """How many questions an earlier iteration of the run has asked already, or nearly so."""
    if scored.is_empty():
        return None
    found = q.diversity(scored)
    if found.is_empty() or found["earlier_share"].null_count() == found.height:
        return None
    rows = [
        [run, iteration, percent(share)]
        for run, iteration, share in found.select("run", "iteration", "earlier_share").iter_rows()
        if share is not None
    ]
    headers = ("run", "iteration", "near-duplicates of earlier iterations (same text, or BLEU of 0.5)")
    return join(element("h3", "Asked before"), table(headers, rows))


def _samples(runs: Sequence[Run]) -> Section:
    found = [sample_section(run, run.name if len(runs) > 1 else None) for run in runs]
    intro = (
        "Chosen by number, evenly spaced, not by hand: some kept, some dropped, a few badly formed. "
        "Answers as "
        "written counts the final answers letter by letter; the vote joins those that are equivalent."
    )
    return Section("samples", "Sample questions", intro, content=join(found) if any(found) else None)


def _time(runs: Sequence[Run]) -> Section:
    chart = cr.time_chart(runs)
    hosts = sorted({item.manifest.host for run in runs for item in run.steps if item.manifest})
    intro = f"Wall-clock time, from the manifests. Hosts: {', '.join(hosts)}." if hosts else ""
    return Section("time", "Time", intro, [chart] if chart else [])


def _config(runs: Sequence[Run]) -> Section:
    parts: list[object] = []
    if len(runs) > 1:
        rows = [[name, *map(str, values)] for name, values in config_differences(runs)]
        parts.append(element("h3", "In what the runs differ"))
        parts.append(
            table(("setting", *(run.name for run in runs)), rows) if rows else element("p", "In nothing.")
        )
    for run in runs:
        content = yaml.safe_dump(
            run.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=_CONFIG_WIDTH
        )
        parts.append(
            element(
                "details",
                element("summary", f"{run.name}: every setting"),
                element("pre", content),
                open=len(runs) == 1,
            )
        )
    return Section("config", "Configuration", "Frozen when the run began.", content=join(parts))


def _files(store: Store, runs: Sequence[Run], target: Path | None) -> Section:
    parts = []
    for run in runs:
        rows: list[list[object]] = []
        for item in run.steps:
            if not item.manifest or not item.step.ref:
                continue
            for file in item.manifest.files:
                if file.name.endswith(".parquet"):
                    name = file.name.rpartition("/")[0] or item.manifest.kind
                    uri = f"{item.step.ref.uri}/{file.name}"
                    where = (item.step.iteration, item.step.stage, name)
                    rows.append([*where, file.rows, size(file.bytes), _link(store, uri, target)])
            if item.manifest.kind == "model":
                where = (item.step.iteration, item.step.stage, "model")
                link = _link(store, item.step.ref.uri, target)
                rows.append([*where, None, size(item.manifest.bytes), link])
        headers = ("iteration", "stage", "table", "rows", "size", "file")
        shown = table(headers, rows)
        parts.append(
            element(
                "details", element("summary", f"{run.name}: {len(rows)} files"), shown, open=len(runs) == 1
            )
        )
    intro = (
        "Each number above comes from these. Open one with polars.read_parquet; `rzero inspect RUN "
        "--iteration K "
        "--stage TABLE` shows it on a terminal."
    )
    return Section("files", "Tables and models", intro, content=join(parts))


def _link(store: Store, uri: str, target: Path | None) -> Html:
    """A link from the report to a local file, the URI as text for any other."""
    if not store.is_local:
        return element("code", uri)
    root = Path(store.root).resolve()
    path = Path(uri)
    shown = os.path.relpath(uri, store.root)
    if target is not None and target.resolve().is_relative_to(root):
        href = quote(os.path.relpath(path, target.resolve().parent))
    else:
        href = path.absolute().as_uri()
    return element("a", element("code", shown), href=href)
