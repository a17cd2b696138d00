"""The graph of stages, in one place: what each is made from, what it reads, and what it makes.

Keys, order, "what is finished", lineage and housekeeping all follow from `STAGES`. `flows/iteration.py`
spells out the same graph as calls, for people to read; a test keeps the two in step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data.config import RunConfig
from data.section import Section
from data.seeds import derive_seed
from infra.artifacts.artifact import ArtifactRef, Location, artifact_key
from tasks.rewards.challenger import keeps_memory, rewards_by_memory


@dataclass(frozen=True)
class Input:
    """An artifact that a stage is made from: a model by its role, anything else by its stage.

    `when` says whether a run, as it is configured, has this input at all; None: always.
    """

    made_as: str
    before: bool
    when: Callable[[RunConfig], bool] | None = None


def here(made_as: str) -> Input:
    """What the same iteration has made."""
    return Input(made_as, before=False)


def before(made_as: str, when: Callable[[RunConfig], bool] | None = None) -> Input:
    """What the iteration before has ended with."""
    return Input(made_as, before=True, when=when)


_OF_ONE_MODEL: Mapping[str, Mapping[str, Input]] = {
    "train_challenger": {"challenger": before("solver")},
    "sample_answers": {"solver": here("challenger")},
    "train_solver": {"solver": here("challenger")},
}
"""The inputs that differ where one model plays both roles (`roles: one`): they are what was trained last."""


@dataclass(frozen=True)
class Stage:
    """One row of the graph. Raise `version` when what the stage computes changes.

    `reads` are dotted settings of RunConfig: they enter the key, and the stage sees no others. Null settings
    are left out of the key, so adding an optional setting keeps existing artifacts valid. `role` names the
    models it makes, `tables` its side tables, `figures` those that `rzero status` shows. Its seed is
    derived from its name or `seed_label`, and is the same in every iteration where `same_seed` says so.
    """

    name: str
    kind: str
    inputs: Mapping[str, Input]
    reads: tuple[str, ...]
    version: int = 1
    role: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    of_base: bool = False
    of_iterations: bool = True
    seed_label: str | None = None
    same_seed: bool = False

    @property
    def uses_device(self) -> bool:
        """Whether it samples from a model or trains one."""
        return not {"sampler", "trainer"}.isdisjoint(self.reads)

    def inputs_in(self, config: RunConfig, iteration: int) -> dict[str, Input]:
        """The inputs that it has in an iteration of this run; an optional one begins with the second."""
        of_one = _OF_ONE_MODEL.get(self.name, {}) if config.roles == "one" else {}
        return {
            name: source
            for name, source in {**self.inputs, **of_one}.items()
            if source.when is None or (iteration > 1 and source.when(config))
        }


def _of(section: str, *settings: str) -> tuple[str, ...]:
    return tuple(f"{section}.{setting}" for setting in settings)


_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens")
_PROMPTS = ("domain", "base_model.prompt_style")
_BENCHMARKS = ("base_model.tiny", *_of("evaluation", "benchmarks", "data", "samples", "greedy", "shard_size"))

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "prepare_base_model",
            "model",
            inputs={},
            reads=("base_model.name", "base_model.revision", "base_model.tiny", "trainer"),
            version=6,
            role=("challenger", "solver"),
            of_base=True,
            of_iterations=False,
        ),
        Stage(
            "train_challenger",
            "model",
            inputs={
                "challenger": before("challenger"),
                "solver": before("solver"),
                "earlier": before("score_and_filter", when=rewards_by_memory),
            },
            reads=(*_PROMPTS, "challenger", *_of("answers", *_SAMPLING), "sampler", "trainer"),
            version=4,
            role=("challenger",),
            tables=("rollouts", "metrics", "engine_metrics", "probe"),
            figures=("probe_reward_mean", "reward_first_step", "reward_last_step"),
        ),
        Stage(
            "generate_questions",
            "questions",
            inputs={"challenger": here("challenger")},
            reads=(*_PROMPTS, "questions", *_of("challenger", "examples", "vocabulary_dropout"), "sampler"),
            version=2,
            figures=("candidates",),
        ),
        Stage(
            "sample_answers",
            "answers",
            inputs={"questions": here("generate_questions"), "solver": before("solver")},
            reads=(*_PROMPTS, "answers", "questions.count", "sampler"),
            version=3,
            figures=("samples_per_question",),
        ),
        Stage(
            "score_and_filter",
            "scored",
            inputs={
                "questions": here("generate_questions"),
                "answers": here("sample_answers"),
                "earlier": before("score_and_filter", when=keeps_memory),
            },
            reads=(
                *_PROMPTS,
                *("base_model.tiny", "filter", "memory", "challenger.reward"),
                *_of("evaluation", "benchmarks", "data", "judge"),
            ),
            version=6,
            tables=("votes", "curriculum", "overlaps", "memory"),
            figures=("reward_mean", "kept_share", "unique_share", "label_accuracy"),
        ),
        Stage(
            "train_solver",
            "model",
            inputs={"solver": before("solver"), "curriculum": here("score_and_filter")},
            reads=(*_PROMPTS, "solver", "trainer"),
            version=4,
            role=("solver",),
            tables=("rollouts", "metrics", "engine_metrics"),
            figures=("reward_first_step", "reward_last_step"),
        ),
        Stage(
            "sample_evaluation",
            "completions",
            inputs={"solver": here("solver")},
            reads=(*_PROMPTS, *_BENCHMARKS, *_of("evaluation", *_SAMPLING), "sampler"),
            version=2,
            figures=("completions",),
            of_base=True,
            # One stage used to draw and to grade: its seeds stay, so that scores stay comparable.
            seed_label="evaluate",
            same_seed=True,
        ),
        Stage(
            "evaluate",
            "evaluation",
            inputs={"completions": here("sample_evaluation")},
            reads=("domain", *_BENCHMARKS, "evaluation.judge"),
            version=3,
            figures=("pass@1", "maj@10", "maj@k", "greedy", "math_average", "overall_average"),
            of_base=True,
            same_seed=True,
        ),
    )
}


def stage_names(iteration: int) -> tuple[str, ...]:
    """The stages of an iteration in their order; iteration 0 is the base model and its evaluation."""
    return tuple(
        name for name, stage in STAGES.items() if (stage.of_base if iteration == 0 else stage.of_iterations)
    )


def stages_of_table(table: str) -> list[str]:
    """The stages that make a table, as their main one or beside it."""
    return [name for name, stage in STAGES.items() if table in (stage.kind, *stage.tables)]


def stage_seed(config: RunConfig, stage: str, iteration: int) -> int:
    """The seed of a stage. The evaluation's is the same in every iteration, so that their scores compare."""
    row = STAGES[stage]
    return derive_seed(config.seed, row.seed_label or stage, 0 if row.same_seed else iteration)


def locate(config: RunConfig, iteration: int, stage: str, inputs: Mapping[str, ArtifactRef]) -> Location:
    """Where the artifact of a stage lies, given its inputs."""
    row = STAGES[stage]
    names = row.inputs_in(config, iteration)
    if set(inputs) != set(names):
        raise ValueError(f"{stage} is made from {tuple(names)}, not from {tuple(inputs)}")
    settings = {name: _setting(config, name) for name in row.reads}
    key = artifact_key(
        stage,
        row.version,
        {name: value for name, value in settings.items() if value is not None},
        stage_seed(config, stage, iteration),
        {name: ref.digest for name, ref in inputs.items()},
    )
    return Location(run=config.run, iteration=iteration, stage=stage, key=key)


def _setting(config: RunConfig, dotted: str) -> Any:
    value: Any = config
    for name in dotted.split("."):
        value = None if value is None else getattr(value, name)
    return value.key_values() if isinstance(value, Section) else value
