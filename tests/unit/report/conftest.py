"""Runs with made-up tables, laid out in a store exactly as the stages would."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data import domains
from data.config import RunConfig
from data.resolve import resolve
from data.schemas import SCHEMAS
from data.tiny import arithmetic
from infra.artifacts.artifact import ArtifactRef
from infra.artifacts.runs import freeze_run
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store
from infra.store.tables import table_of
from tasks.curriculum.rows import curriculum_row
from tasks.grading.scores import evaluation_figures
from tasks.stage.graph import STAGES, stage_names
from tasks.stage.walk import Outcome, outcome_of, walk_iteration
from tests.support.schemas import RUN_SCHEMAS

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&amp;\u202e<b>'
OVERRIDES = (
    "base_model.tiny.solver_terms=5",
    "base_model.tiny.held_out_per_length=6",
    "filter.contamination=report",
)
Rows = Sequence[Mapping[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in memory."""
    return Store(f"memory:/{tmp_path}/store")


@pytest.fixture
def local_store(tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def fabricate() -> Callable[..., RunConfig]:
    """`fabricate(store, run, ...)` writes a run of made-up figures and gives its configuration."""
    return make_run


def make_run(
    store: Store,
    run: str = "made",
    iterations: int = 2,
    seed: int = 0,
    overrides: Sequence[str] = (),
    stop_before: tuple[int, str] | None = None,
    hostile: bool = False,
) -> RunConfig:
    """A run up to, and without, the stage `stop_before`."""
    config = resolve(run, "tiny", [*OVERRIDES, f"seed={seed}", *overrides], iterations=iterations)
    freeze_run(store, config)
    before: Outcome = {}
    for iteration in range(iterations + 1):
        for stage in stage_names(iteration):
            if (iteration, stage) == stop_before:
                return config
            steps = walk_iteration(store, config, iteration, before)
            step = next(step for step in steps if step.stage == stage)
            assert step.location is not None
            writer = ArtifactWriter(store, step.location)
            kind, tables, figures = _outcome(
                stage, iteration, random.Random(f"{seed} {iteration} {stage}"), hostile
            )
            if kind == "model":
                with tempfile.TemporaryDirectory() as folder:
                    for name in ("config.json", "model.safetensors"):
                        (Path(folder) / name).write_text(f"{run} {iteration} {stage} {name}")
                    writer.add_folder(Path(folder))
            for name, rows in tables.items():
                writer.add_table(table_of(rows, RUN_SCHEMAS[name]), None if name == kind else name)
            made = outcome_of(steps)
            inputs: dict[str, ArtifactRef] = {}
            for name, source in STAGES[stage].inputs_in(config, iteration).items():
                ref = (before if source.before else made).get(source.made_as)
                assert ref is not None
                inputs[name] = ref
            writer.commit(kind=kind, stage_version=1, seed=seed, inputs=inputs, figures=figures, config={})
        before = outcome_of(walk_iteration(store, config, iteration, before))
    return config


def _outcome(
    stage: str, iteration: int, rng: random.Random, hostile: bool
) -> tuple[str, dict[str, Rows], dict[str, Any]]:
    """Kind, tables and figures of a stage."""
    if stage == "evaluate":
        rows = evaluation_rows(iteration, rng)
        measured = evaluation_figures(
            pl.DataFrame(rows), {"arithmetic": "mathematics"}, {"arithmetic": "sampled"}
        )
        return (
            "evaluation",
            {"evaluation": rows},
            {"pass@1": 0.5, "greedy": 0.9, "scores": measured["scores"]},
        )
    if stage == "generate_questions":
        return "questions", {"questions": question_rows(hostile)}, {}
    if stage == "sample_evaluation":
        return "completions", {"completions": completion_rows(iteration, hostile)}, {}
    if stage == "sample_answers":
        return STAGES[stage].kind, {STAGES[stage].kind: []}, {}
    if stage == "score_and_filter":
        scored = scored_rows(iteration, rng, hostile)
        tables = {"scored": scored, "curriculum": curriculum_rows(iteration, scored)}
        figures = {"kept_share": 0.3, "candidates": QUESTIONS, "kept": len(tables["curriculum"])}
        figures |= {"label_accuracy": 0.625, "reward_mean": 0.35, "contaminated": 3, "contaminated_kept": 1}
        return "scored", tables | {"votes": vote_rows(hostile)}, figures
    tables: dict[str, Rows] = {}
    if stage != "prepare_base_model":
        tables["metrics"] = [metric_row(step, iteration) for step in range(1, 4)]
    if stage == "train_challenger":
        scored = scored_rows(iteration, rng, False)
        names = [name for name in RUN_SCHEMAS["probe"].names if name != "reason"]
        tables["probe"] = [{name: row[name] for name in names} | {"reason": None} for row in scored]
    return "model", tables, {}


def evaluation_rows(iteration: int, rng: random.Random, samples: int = 4) -> list[dict[str, Any]]:
    """24 problems of 2 to 5 terms, easier to get right from one iteration to the next."""
    rows = []
    for problem in range(24):
        terms = 2 + problem // 6
        chance = min(0.98, 0.9 - 0.12 * terms + 0.15 * iteration)
        right = [rng.random() < chance for _ in range(samples)]
        for mode, grades in (("sampled", right), ("greedy", [terms < 5])):
            for sample, correct in enumerate(grades):
                rows.append(
                    {
                        "benchmark": "arithmetic",
                        "problem_id": problem,
                        "group": f"{terms:02d}",
                        "problem": "20 +1",
                        "gold": "21",
                        "mode": mode,
                        "sample": sample,
                        "tokens": 3,
                        "finish_reason": "stop",
                        "answer": "21" if correct else "20",
                        "reason": None,
                        "correct": correct,
                        "majority_answer": "21",
                        "majority_correct": sum(grades) * 2 >= len(grades),
                    }
                )
    return rows


def completion_rows(iteration: int, hostile: bool) -> list[dict[str, Any]]:
    """The greedy answers to the problems of `evaluation_rows`, and a sampled one to each, of two steps.

    The second step, mostly wrong at once, is in parts in as many of ten answers as the iteration says;
    the first always is, and never needs it.
    """
    fixed = {"benchmark": "arithmetic", "sample": 0, "seed": 1, "finish_reason": "stop", "tokens": 3}
    greedy = HOSTILE if hostile else f"written in iteration {iteration}"
    sampled = [
        "36 a+4:+2=38+2=40" + (" b-5:-2=38-3=35" if problem % 10 < iteration else " b-5 =36")
        for problem in range(24)
    ]
    return [
        {**fixed, "problem_id": problem, "mode": mode, "completion": text}
        for problem in range(24)
        for mode, text in (("greedy", greedy), ("sampled", sampled[problem]))
    ]


QUESTIONS = 60


def question_text(index: int, rng: random.Random, hostile: bool) -> str | None:
    """A chain; each tenth candidate is badly formed; each third hostile, if asked for."""
    if index % 10 == 9:
        return None
    if hostile and index % 3 == 0:
        return HOSTILE
    return arithmetic.random_chain(rng, 2 + index % 5).question


def question_rows(hostile: bool) -> list[dict[str, Any]]:
    """Candidates; the badly formed ones show their completion in the report."""
    completion = f"rambling {HOSTILE}" if hostile else "rambling"
    fixed = {"seed": 1, "completion": completion, "tokens": 5, "finish_reason": "stop", "question": None}
    return [
        {"question_id": index, **fixed, "challenger_answer": None, "reason": None}
        for index in range(QUESTIONS)
    ]


def vote_rows(hostile: bool) -> list[dict[str, Any]]:
    """Ten answers to each candidate, one of them none."""
    rows = []
    for question in range(QUESTIONS):
        for sample in range(10):
            answer = HOSTILE if hostile and sample == 3 else None if sample == 9 else str(sample % 2)
            rows.append({"question_id": question, "sample": sample, "answer": answer, "reason": None})
    return rows


def scored_rows(iteration: int, rng: random.Random, hostile: bool) -> list[dict[str, Any]]:
    """Candidates of falling agreement, some kept, some not, a tenth badly formed."""
    rows = []
    for index in range(QUESTIONS):
        question = question_text(index, rng, hostile)
        valid = question is not None
        votes = rng.randint(2, 10) if valid else 0
        p_hat = votes / 10
        kept = valid and 0.25 <= p_hat <= 0.75
        truth = domains.get("arithmetic").truth_of(question)
        reason = "too_easy" if p_hat > 0.75 else "too_hard" if valid else "bad_format:no_question"
        rows.append(
            {
                "question_id": index,
                "question": question,
                "challenger_answer": None,
                "majority_answer": (HOSTILE if hostile and index % 3 == 0 else truth.answer or "1")
                if valid
                else None,
                "p_hat": p_hat,
                "votes": votes,
                "samples": 10 if valid else 0,
                "abstentions": 0,
                "answered_share": 1.0 if valid else 0.0,
                "uncertainty": 1 - 2 * abs(p_hat - 0.5) if valid else 0.0,
                "cluster_share": 2 / QUESTIONS if valid else 0.0,
                "cluster_size": 2 if valid else 0,
                "near_earlier": False,
                "reward": 0.3 + 0.05 * iteration if valid else 0.0,
                "kept": kept,
                "drop_reason": None if kept else reason,
                "true_answer": truth.answer,
                "label_is_right": rng.random() < p_hat if truth.answer else None,
                "label_is_right_by_judge": None,
                "in_range": truth.in_range,
                "terms": truth.terms,
            }
        )
    return rows


def curriculum_rows(iteration: int, scored: Rows) -> list[dict[str, Any]]:
    """What the Solver trains on of these candidates."""
    domain = domains.get("arithmetic")
    kept = [
        row | {"iteration": iteration, "pseudo_label": row["majority_answer"]}
        for row in scored
        if row["kept"]
    ]
    return [curriculum_row(index, row, domain, "chat") for index, row in enumerate(kept)]


def metric_row(step: int, iteration: int) -> dict[str, Any]:
    """One training step."""
    names = [name for name in SCHEMAS["metrics"].names if name not in ("step", "reward_mean", "kl")]
    return {"step": step, "reward_mean": 0.1 * step, "kl": 0.01 * step * iteration} | dict.fromkeys(
        names, 0.5
    )


@pytest.fixture
def scored_table() -> list[dict[str, Any]]:
    """Made-up candidates of one iteration."""
    return scored_rows(1, random.Random(0), False)
