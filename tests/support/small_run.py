"""A run so small that one iteration takes seconds; its dynamics mean nothing."""

SMALL_RUN = (
    "base_model.tiny.training_steps=150",
    "base_model.tiny.batch_size=32",
    "base_model.tiny.solver_terms=4",
    "base_model.tiny.held_out_per_length=3",
    "challenger.steps=3",
    "challenger.prompts_per_step=8",
    "challenger.group_size=4",
    "challenger.checkpoint_every_steps=2",
    "challenger.probe_questions=40",
    "questions.count=60",
    "questions.shard_size=25",
    "answers.shard_size=25",
    "filter.contamination=report",
    "solver.steps=3",
    "solver.prompts_per_step=8",
    "solver.group_size=4",
    "solver.checkpoint_every_steps=2",
    "evaluation.samples=4",
    "evaluation.shard_size=5",
)


def small_overrides() -> dict[str, str]:
    """The overrides of the small run as a mapping."""
    return dict(override.split("=", 1) for override in SMALL_RUN)
