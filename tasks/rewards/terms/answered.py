"""A question that many samples cannot finish must not pass for an uncertain one.

Abstentions vote for nothing, so p_hat alone does not see them.
"""

from tasks.rewards.term import Column, Term

TERM = Term(
    name="answered",
    source="not in the paper; without abstentions it changes nothing (docs/deviations.md)",
    role="factor",
    columns=(Column("answered_share", "float", "Share of the samples that gave an answer."),),
    compute=lambda batch, settings: {"answered_share": batch.answered},
)
