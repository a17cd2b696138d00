"""What a run remembers of earlier iterations' questions: what was asked, and what can be replayed.

Not in the paper; off unless `memory` is set or the reward lists a term that remembers. The memory travels
as a side table of the scored candidates: that of iteration t holds the candidates of iterations 1 to t.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from infra.artifacts.artifact import ArtifactRef
from tasks.stage.work import Work

Row = Mapping[str, Any]


def remembered(work: Work, earlier: ArtifactRef | None) -> list[Row]:
    """The memory that an iteration begins with; `earlier` is the scored candidates of the one before."""
    if earlier is None:
        return []
    return list(work.table(earlier, "memory").iter_rows(named=True))


def memory_rows(
    before: Sequence[Row], iteration: int, scored: Sequence[Row], kept: Sequence[Row]
) -> list[Row]:
    """Rows of the `memory` table: those before, then this iteration's well-formed candidates.

    `scored` are rows of that table, `kept` those of them that the Solver trains on, with pseudo-labels.
    """
    labels = {row["question_id"]: row["pseudo_label"] for row in kept}
    return [
        *before,
        *(
            {
                "iteration": iteration,
                "question_id": row["question_id"],
                "question": row["question"],
                "pseudo_label": labels.get(row["question_id"]),
                "p_hat": row["p_hat"],
            }
            for row in scored
            if row["question"] is not None
        ),
    ]


def replayed(before: Sequence[Row], kept: Sequence[str], share: float, seed: int) -> list[Row]:
    """A random share of the earlier kept questions, in their order; none that is kept anew.

    A question that was kept more than once counts once, with its newest label.
    """
    fresh = set(kept)
    newest = {
        row["question"]: row
        for row in before
        if row["pseudo_label"] is not None and row["question"] not in fresh
    }
    candidates = sorted(newest.values(), key=lambda row: (row["iteration"], row["question_id"]))
    chosen = random.Random(seed).sample(range(len(candidates)), round(share * len(candidates)))
    return [candidates[index] for index in sorted(chosen)]
