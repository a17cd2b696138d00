"""The answers themselves: ways of working, and the same problems before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from data import domains
from flows.report.accuracy import KEYS
from flows.report.read import Line, Run, collect

_PROBLEM = ["benchmark", "problem_id"]
_OCCASION = {
    "line": pl.String,
    "run": pl.String,
    "iteration": pl.Int64,
    "habit": pl.String,
    "shown": pl.Boolean,
}
_OUTCOMES = (("learnt", False, True, 3), ("lost", True, False, 1), ("never right", False, False, 1))
"""What became of a problem, whether it was right before and after, and how many of these are shown."""


def habits_shown(lines: Sequence[Line]) -> pl.DataFrame:
    """line, run, iteration, habit, shown: each occasion for a way of working that the domain names.

    In the sampled answers to the benchmarks. Empty where no domain names any.
    """
    rows: list[tuple[Any, ...]] = []
    for line in lines:
        # The runs of a line differ at most in their seed.
        name = line.runs[0].config.domain
        habits = domains.get(name).habits if name in domains.names() else None
        answers = collect([line], "sample_evaluation", columns=["mode", "completion"]) if habits else None
        if habits is None or answers is None or answers.is_empty():
            continue
        sampled = answers.filter(pl.col("mode") == "sampled").select(*KEYS, "completion")
        for *where, text in sampled.iter_rows():
            rows += [(*where, *occasion) for occasion in habits(text)]
    return pl.DataFrame(rows, _OCCASION, orient="row")


def spaced(count: int, wanted: int) -> list[int]:
    """`wanted` indices spread evenly over `count` rows; all of them where there are no more."""
    if count <= wanted:
        return list(range(count))
    return [index * count // wanted for index in range(wanted)]


def before_and_after(run: Run) -> dict[str, Any] | None:
    """Greedy answers to some problems, of the base model and of the last Solver that was measured.

    `last`: its iteration; `counts`: how many problems had each outcome; `rows`: those shown, evenly spaced
    by number, with problem, gold, outcome, and `before` and `after` as (completion, tokens, is right). None
    where there is no last one beside the base, or the store does not have the completions.
    """
    measured = [i for i in run.iterations() if run.artifact(i, "evaluate")]
    if not measured or measured[0] != 0 or measured[-1] == 0:
        return None
    first, last = (_greedy(run, iteration) for iteration in (0, measured[-1]))
    if first is None or last is None:
        return None
    both = first.join(last, on=_PROBLEM, suffix="_after").sort(_PROBLEM)
    rows, counts = [], {}
    for outcome, before, after, wanted in _OUTCOMES:
        found = both.filter((pl.col("correct") == before) & (pl.col("correct_after") == after))
        counts[outcome] = found.height
        rows += [
            {
                "problem": row["problem"],
                "gold": row["gold"],
                "outcome": outcome,
                "before": (row["completion"], row["tokens"], before),
                "after": (row["completion_after"], row["tokens_after"], after),
            }
            for row in found[spaced(found.height, wanted)].iter_rows(named=True)
        ]
    return {"last": measured[-1], "counts": counts, "rows": rows} if rows else None


def _greedy(run: Run, iteration: int) -> pl.DataFrame | None:
    """benchmark, problem_id, problem, gold, completion, tokens, correct of each greedy answer."""
    grades = run.table(iteration, "evaluate", columns=[*_PROBLEM, "mode", "problem", "gold", "correct"])
    texts = run.table(iteration, "sample_evaluation", columns=[*_PROBLEM, "mode", "completion", "tokens"])
    if grades is None or texts is None:
        return None
    found = grades.filter(pl.col("mode") == "greedy").join(
        texts.filter(pl.col("mode") == "greedy"), on=[*_PROBLEM, "mode"]
    )
    return None if found.is_empty() else found
