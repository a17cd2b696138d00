"""The tables of a run: pyarrow schemas with a description for every column.

`schema_of(name)` is the schema of table `name`; its metadata holds the table's name, description and
schema version. Nothing in a table depends on the clock, the host or the path of the store, so equal
runs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

SCHEMA_VERSION = 3

Column = tuple[str, pa.DataType, bool, str]
"""Name, type, whether it may be null, and description."""


def table_schema(name: str, description: str, *columns: Column) -> pa.Schema:
    """The schema of a table. A stage may keep that of its own table in its own file."""
    fields = [
        pa.field(column, kind, nullable=nullable, metadata={"description": text})
        for column, kind, nullable, text in columns
    ]
    metadata = {"table": name, "description": description, "schema_version": str(SCHEMA_VERSION)}
    return pa.schema(fields, metadata=metadata)


_STR, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_MESSAGES = pa.list_(pa.struct([pa.field("role", _STR), pa.field("content", _STR)]))

_P_HAT = "Votes of the majority answer divided by samples that answered."
_REWARD = "max(0, gains * factors - penalties), each a term of challenger.reward; 0 where badly formed."


def _completion(author: str) -> tuple[Column, ...]:
    return (
        ("seed", _INT, False, "Seed that the completion was drawn with."),
        ("completion", _STR, False, f"What the {author} wrote."),
        ("tokens", _INT, False, "Tokens of the completion."),
        ("finish_reason", _STR, False, "'stop', or 'length' where it was cut."),
    )


QUESTIONS = table_schema(
    "questions",
    "Candidate questions written by the Challenger, well formed or not.",
    ("question_id", _INT, False, "Number of the candidate within its iteration, from 0."),
    *_completion("Challenger"),
    ("question", _STR, True, "The question; null where the completion is badly formed."),
    ("challenger_answer", _STR, True, "The Challenger's own boxed answer."),
    ("reason", _STR, True, "Why the completion is badly formed; null where it is well formed."),
)

ANSWERS = table_schema(
    "answers",
    "Every completion in which the frozen Solver answers a well-formed candidate.",
    ("question_id", _INT, False, "Number of the candidate."),
    ("sample", _INT, False, "Number of the answer to this question, from 0."),
    *_completion("Solver"),
    ("prompt_tokens", _INT, False, "Tokens of the Solver's prompt with the question."),
)

VOTES = table_schema(
    "votes",
    "The answer extracted from each completion of the Solver.",
    ("question_id", _INT, False, "Number of the candidate."),
    ("sample", _INT, False, "Number of the answer to this question, from 0."),
    ("answer", _STR, True, "The boxed answer; null where there is none (an abstention)."),
    ("reason", _STR, True, "Why there is no answer; null where there is one."),
)

SCORED = table_schema(
    "scored",
    "Every candidate with its vote, its reward and whether the Solver trains on it.",
    ("question_id", _INT, False, "Number of the candidate."),
    ("question", _STR, True, "The question; null where the completion is badly formed."),
    ("challenger_answer", _STR, True, "The Challenger's own answer, for watching only."),
    ("majority_answer", _STR, True, "The majority answer, the pseudo-label; null without one."),
    ("p_hat", _FLOAT, False, _P_HAT),
    ("votes", _INT, False, "Votes of the majority answer."),
    ("samples", _INT, False, "Answers drawn."),
    ("abstentions", _INT, False, "Samples that gave no answer."),
    ("reward", _FLOAT, False, _REWARD),
    ("kept", _BOOL, False, "Whether it is in the curriculum."),
    ("drop_reason", _STR, True, "Why it is not; null where kept."),
    ("true_answer", _STR, True, "The true answer where it can be computed; for watching only."),
    ("label_is_right", _BOOL, True, "Whether the pseudo-label is the true answer; for watching only."),
    ("label_is_right_by_judge", _BOOL, True, "The judge's verdict on it; null where it was not asked."),
    ("in_range", _BOOL, True, "Whether the question lies in the base's domain; for watching only."),
    ("terms", _INT, True, "Length of the question's reasoning, where it can be computed."),
)

CURRICULUM = table_schema(
    "curriculum",
    "What the Solver trains on: kept questions with pseudo-labels, as verl and TRL read a data set.",
    ("iteration", _INT, False, "The iteration whose Challenger asked it; an earlier one where replayed."),
    ("question_id", _INT, False, "Number of the candidate within that iteration."),
    ("prompt", _MESSAGES, False, "The Solver's prompt as chat messages."),
    ("question", _STR, False, "The question."),
    ("pseudo_label", _STR, False, "The majority answer (another, where filter.labels says so)."),
    ("p_hat", _FLOAT, False, _P_HAT),
    ("data_source", _STR, False, "verl's field: always 'rzero'."),
    (
        "reward_model",
        pa.struct([pa.field("style", _STR), pa.field("ground_truth", _STR)]),
        False,
        "verl's field: style 'rule' and the pseudo-label as ground_truth.",
    ),
    ("extra_info", pa.struct([pa.field("index", _INT), pa.field("split", _STR)]), False, "verl's field."),
)

MEMORY = table_schema(
    "memory",
    "Every well-formed candidate of this and of earlier iterations, for the next one to remember.",
    ("iteration", _INT, False, "The iteration whose Challenger asked it."),
    ("question_id", _INT, False, "Number of the candidate within that iteration."),
    ("question", _STR, False, "The question."),
    ("pseudo_label", _STR, True, "What the Solver was told is right; null where it was not kept."),
    ("p_hat", _FLOAT, False, _P_HAT),
)

ROLLOUTS = table_schema(
    "rollouts",
    "Every rollout of a training with its reward and the parts of it, which are null for the other role.",
    ("step", _INT, False, "Training step, from 1."),
    ("group", _INT, False, "Group within the step; its rollouts share the prompt."),
    ("sample", _INT, False, "Number of the rollout within its group."),
    ("prompt_index", _INT, False, "Index of the prompt in the training's list of prompts."),
    ("prompt", _STR, False, "The prompt as the model reads it."),
    ("completion", _STR, False, "What the model wrote."),
    ("tokens", _INT, False, "Tokens of the completion."),
    ("finish_reason", _STR, False, "'stop', or 'length' where it was cut."),
    ("seed", _INT, False, "Seed that the completion was drawn with."),
    ("reward", _FLOAT, False, "The reward."),
    ("advantage", _FLOAT, False, "The advantage within the group."),
    ("answer", _STR, True, "The boxed answer of the completion."),
    ("reason", _STR, True, "Why the completion is badly formed or has no answer; else null."),
    ("pseudo_label", _STR, True, "Solver: the label that the answer is compared with."),
    ("question", _STR, True, "Challenger: the question of the completion."),
    ("majority_answer", _STR, True, "Challenger: the frozen Solver's majority answer."),
    ("p_hat", _FLOAT, True, "Challenger: votes of the majority answer over samples that answered."),
)

METRICS = table_schema(
    "metrics",
    "One row a training step.",
    ("step", _INT, False, "Training step, from 1."),
    ("reward_mean", _FLOAT, False, "Mean reward of the step's rollouts."),
    ("reward_std", _FLOAT, False, "Standard deviation of the reward over the step's rollouts."),
    ("groups_without_signal", _FLOAT, False, "Share of groups in which all rewards are equal."),
    ("completion_tokens_mean", _FLOAT, False, "Mean tokens of a completion."),
    ("truncated_share", _FLOAT, False, "Share of completions cut at max_tokens."),
    ("policy_loss", _FLOAT, False, "The clipped policy loss, mean over the step's updates."),
    ("kl", _FLOAT, False, "Mean low-variance estimate of the KL to the reference, per token."),
    ("entropy", _FLOAT, False, "Mean entropy of the policy's next-token distribution, in nats."),
    ("clip_share", _FLOAT, False, "Share of tokens whose ratio was clipped."),
    ("gradient_norm", _FLOAT, False, "Norm of the gradient before clipping."),
    ("learning_rate", _FLOAT, False, "Learning rate of the step."),
)

ENGINE_METRICS = table_schema(
    "engine_metrics",
    "What the engine of a training reported of each step beside `metrics`, under its own names.",
    ("step", _INT, False, "Training step, from 1."),
    ("name", _STR, False, "The engine's name for it, for example verl's 'timing_s/gen' (seconds)."),
    ("value", _FLOAT, False, "Its value."),
)

PROBE = table_schema(
    "probe",
    "Fresh questions of the untrained Challenger of an iteration, scored as in training; for watching only.",
    ("question_id", _INT, False, "Number of the question."),
    ("question", _STR, True, "The question; null where badly formed."),
    ("reason", _STR, True, "Why it is badly formed; else null."),
    ("majority_answer", _STR, True, "The frozen Solver's majority answer."),
    ("p_hat", _FLOAT, False, "Votes of the majority answer over samples that answered."),
    ("reward", _FLOAT, False, _REWARD),
    ("in_range", _BOOL, True, "Whether the question lies in the base's domain; for watching only."),
    ("terms", _INT, True, "Length of the question's reasoning, where it can be computed."),
)

OVERLAPS = table_schema(
    "overlaps",
    "Candidates that resemble a problem of a benchmark: the contamination check's hits.",
    ("question_id", _INT, False, "Number of the candidate."),
    ("question", _STR, False, "The question."),
    ("benchmark", _STR, False, "The benchmark whose problem it resembles."),
    ("problem_id", _INT, False, "Number of that problem; the one that it shares most with."),
    ("problem", _STR, False, "The problem."),
    ("share", _FLOAT, False, "Shared word n-grams over those of the shorter text; numbers count alike."),
    ("verbatim", _BOOL, False, "Whether the texts are equal but for case, spaces and punctuation."),
    ("kept", _BOOL, False, "Whether the candidate is in the curriculum all the same."),
)

PROBLEMS = table_schema(
    "problems",
    "Problems of a benchmark, frozen when a run began; not a table of a stage.",
    ("problem_id", _INT, False, "Number of the problem within the benchmark, from 0."),
    ("group", _STR, False, "Part of the benchmark it belongs to."),
    ("problem", _STR, False, "The problem as the Solver is asked it, options and all."),
    ("gold", _STR, False, "The right answer."),
    ("accepted", pa.list_(_STR), False, "Other answers that are right."),
    ("tolerance", _FLOAT, False, "How far a number may be from the gold one."),
)

COMPLETIONS = table_schema(
    "completions",
    "Every completion of the evaluation, not graded yet.",
    ("benchmark", _STR, False, "Name of the benchmark."),
    ("problem_id", _INT, False, "Number of the problem within the benchmark."),
    ("mode", _STR, False, "'sampled' or 'greedy'."),
    ("sample", _INT, False, "Number of the completion to this problem in this mode, from 0."),
    *_completion("model"),
)

EVALUATION = table_schema(
    "evaluation",
    "The grade of every completion of the evaluation; its text is in the table `completions`.",
    ("benchmark", _STR, False, "Name of the benchmark."),
    ("problem_id", _INT, False, "Number of the problem within the benchmark."),
    ("group", _STR, False, "Part of the benchmark it belongs to, for example its number of terms."),
    ("problem", _STR, False, "The problem."),
    ("gold", _STR, False, "The right answer."),
    ("mode", _STR, False, "'sampled' or 'greedy'."),
    ("sample", _INT, False, "Number of the completion to this problem in this mode, from 0."),
    ("tokens", _INT, False, "Tokens of the completion."),
    ("finish_reason", _STR, False, "'stop', or 'length' where it was cut."),
    ("answer", _STR, True, "The extracted answer; null where there is none, which counts as wrong."),
    ("reason", _STR, True, "Why there is no answer, or 'timeout' where the grader gave up; else null."),
    ("correct", _BOOL, False, "The grade: by rule, or the judge's where it was asked and answered."),
    ("rule_correct", _BOOL, True, "Whether the answer equals the gold answer by rule."),
    ("judge_correct", _BOOL, True, "The judge's verdict; null where it was not asked or gave none."),
    ("judge_tokens", _INT, True, "Tokens of the judge's prompt and reply; null where it was not asked."),
    ("majority_answer", _STR, True, "The majority answer of the problem's samples in this mode."),
    ("majority_correct", _BOOL, False, "Whether the majority answer equals the gold answer."),
)

SCHEMAS: dict[str, pa.Schema] = {
    schema.metadata[b"table"].decode(): schema
    for schema in (
        *(QUESTIONS, ANSWERS, VOTES, SCORED, CURRICULUM, MEMORY, ROLLOUTS, METRICS, ENGINE_METRICS, PROBE),
        *(OVERLAPS, COMPLETIONS, EVALUATION),
    )
}
"""The tables that stages make."""

NamedColumn = tuple[str, str, str]
"""Name, type ('float', 'int' or 'bool') and description of a column of a reward term."""
TERM_TABLES = {"scored": "abstentions", "rollouts": "p_hat", "probe": "p_hat"}
"""The tables that hold the columns of the reward's terms, and the column after which they are inserted."""


def schema_of(table: str, of_terms: Sequence[NamedColumn] = ()) -> pa.Schema:
    """The schema of a table, with the columns of these reward terms where it is one of `TERM_TABLES`."""
    schema, types = SCHEMAS[table], {"float": _FLOAT, "int": _INT, "bool": _BOOL}
    for offset, (name, kind, text) in enumerate(of_terms):
        if name in schema.names:
            raise ValueError(f"a reward term's column {name!r} is in the table {table!r} already")
        # In `rollouts` the Solver's rows have none.
        column = pa.field(name, types[kind], table == "rollouts", {"description": text})
        schema = schema.insert(SCHEMAS[table].get_field_index(TERM_TABLES[table]) + 1 + offset, column)
    return schema


def description(schema: pa.Schema, column: str) -> str:
    """What a column means."""
    metadata = schema.field(column).metadata or {}
    return metadata.get(b"description", b"").decode()
