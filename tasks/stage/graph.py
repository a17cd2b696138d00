"""The graph of stages, said once: what each is made from, what it reads, and what it makes.

Keys, order, "what is finished", lineage and housekeeping all follow from `STAGES`. The store is the truth:
nothing here asks Prefect. `flows/iteration.py` spells the same graph as calls, for a person to read, and a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.config import RunConfig
from data.section import Section
from data.seeds import derive_seed
from infra.artifacts.artifact import ArtifactRef, DamagedArtifact, Location, artifact_key, find
from infra.artifacts.lineage import newest_location
from infra.store.store import Store
from tasks.rewards.challenger import ChallengerReward


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


@dataclass(frozen=True)
class Stage:
    """One row of the graph. Raise `version` when what the stage computes changes.

    `reads` are dotted settings of RunConfig: they enter the key, and the stage sees no others. Null settings
    are left out of the key, so adding an optional setting keeps existing artifacts valid. `role` names the
    models it makes, `tables` its side tables, `figures` those that `rzero status` shows. Stages that share
    `dice` draw with the same seeds; `same_dice` keeps them the same in every iteration.
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
    dice: str | None = None
    same_dice: bool = False

    @property
    def uses_device(self) -> bool:
        """Whether it samples from a model or trains one."""
        return not {"sampler", "trainer"}.isdisjoint(self.reads)

    def inputs_in(self, config: RunConfig, iteration: int) -> dict[str, Input]:
        """The inputs that it has in an iteration of this run; an optional one begins with the second."""
        return {
            name: source
            for name, source in self.inputs.items()
            if source.when is None or (iteration > 1 and source.when(config))
        }


def _rewards_remember(config: RunConfig) -> bool:
    """Whether the Challenger's reward depends on the questions of earlier iterations."""
    return any(term.remembers for term in ChallengerReward(config.challenger.reward).acting)


def remembers(config: RunConfig) -> bool:
    """Whether earlier questions are kept: for a term of the reward, if only to watch them, or to replay."""
    listed = ChallengerReward(config.challenger.reward).listed
    return config.memory is not None or any(term.remembers for term in listed)


_PROMPTS = ("domain", "base_model.prompt_style")
_BENCHMARKS = (
    "evaluation.benchmarks",
    "evaluation.data",
    "evaluation.samples",
    "evaluation.greedy",
    "evaluation.shard_size",
)

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "prepare_base_model",
            "model",
            inputs={},
            reads=("base_model.name", "base_model.revision", "base_model.tiny", "trainer"),
            version=2,
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
                "earlier": before("score_and_filter", when=_rewards_remember),
            },
            reads=(
                *_PROMPTS,
                "challenger",
                "answers.temperature",
                "answers.top_p",
                "answers.top_k",
                "answers.max_tokens",
                "sampler",
                "trainer",
            ),
            version=2,
            role=("challenger",),
            tables=("rollouts", "metrics", "engine_metrics", "probe"),
            figures=("probe_reward_mean", "reward_first_step", "reward_last_step"),
        ),
        Stage(
            "generate_questions",
            "questions",
            inputs={"challenger": here("challenger")},
            reads=(*_PROMPTS, "questions", "sampler"),
            figures=("candidates",),
        ),
        Stage(
            "sample_answers",
            "answers",
            inputs={"questions": here("generate_questions"), "solver": before("solver")},
            reads=(*_PROMPTS, "answers", "questions.count", "sampler"),
            version=2,
            figures=("samples_per_question",),
        ),
        Stage(
            "score_and_filter",
            "scored",
            inputs={
                "questions": here("generate_questions"),
                "answers": here("sample_answers"),
                "earlier": before("score_and_filter", when=remembers),
            },
            reads=(
                *_PROMPTS,
                "base_model.tiny",
                "filter",
                "memory",
                "challenger.reward",
                "evaluation.benchmarks",
                "evaluation.data",
                "evaluation.judge",
            ),
            version=5,
            tables=("votes", "curriculum", "overlaps", "memory"),
            figures=("reward_mean", "kept_share", "unique_share", "label_accuracy"),
        ),
        Stage(
            "train_solver",
            "model",
            inputs={"solver": before("solver"), "curriculum": here("score_and_filter")},
            reads=(*_PROMPTS, "solver", "trainer"),
            version=2,
            role=("solver",),
            tables=("rollouts", "metrics", "engine_metrics"),
            figures=("reward_first_step", "reward_last_step"),
        ),
        Stage(
            "sample_evaluation",
            "completions",
            inputs={"solver": here("solver")},
            reads=(
                *_PROMPTS,
                "base_model.tiny",
                *_BENCHMARKS,
                "evaluation.temperature",
                "evaluation.top_p",
                "evaluation.top_k",
                "evaluation.max_tokens",
                "sampler",
            ),
            figures=("completions",),
            of_base=True,
            # Its dice are those of the stage that once drew and graded at a time: scores stay comparable.
            dice="evaluate",
            same_dice=True,
        ),
        Stage(
            "evaluate",
            "evaluation",
            inputs={"completions": here("sample_evaluation")},
            reads=("domain", "base_model.tiny", *_BENCHMARKS, "evaluation.judge"),
            version=3,
            figures=("pass@1", "maj@10", "maj@k", "greedy", "math_average", "overall_average"),
            of_base=True,
            same_dice=True,
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


def needed_later() -> frozenset[str]:
    """The stages that later iterations are made from, directly or not: all but the evaluations."""
    found: set[str] = set()
    waiting = {
        source.made_as for stage in STAGES.values() for source in stage.inputs.values() if source.before
    }
    while waiting:
        made_as = waiting.pop()
        makers = [name for name, stage in STAGES.items() if made_as in (name, *stage.role)]
        fresh = set(makers) - found
        found |= fresh
        waiting |= {source.made_as for name in fresh for source in STAGES[name].inputs.values()}
    return frozenset(found)


def stage_seed(config: RunConfig, stage: str, iteration: int) -> int:
    """The seed of a stage. The evaluation's does not depend on the iteration: all see the same dice."""
    row = STAGES[stage]
    return derive_seed(config.seed, row.dice or stage, 0 if row.same_dice else iteration)


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


@dataclass(frozen=True)
class Step:
    """One stage of one iteration of a run.

    `location` is None while an input of it is unfinished; `damage` says what is wrong with an artifact that
    the next run will set aside and make again. `is_earlier` marks an artifact under another key: an earlier
    version of rzero made it, or other inputs; it can be read, and the next run makes it anew.
    """

    iteration: int
    stage: str
    location: Location | None
    ref: ArtifactRef | None
    damage: str | None = None
    is_earlier: bool = False


@dataclass
class Outcome:
    """What an iteration has made: artifacts by their stage, models by their role as well."""

    made: dict[str, ArtifactRef] = field(default_factory=dict)

    def add(self, stage: str, ref: ArtifactRef) -> None:
        """Take in a finished artifact."""
        self.made |= dict.fromkeys((stage, *STAGES[stage].role), ref)

    def get(self, made_as: str) -> ArtifactRef | None:
        """What was made as this; None where it is unfinished."""
        return self.made.get(made_as)


def walk(store: Store, config: RunConfig, iterations: int) -> list[Step]:
    """All steps of iterations 0 to `iterations`, finished or not, from the store alone."""
    steps: list[Step] = []
    ended = Outcome()
    for iteration in range(iterations + 1):
        found = walk_iteration(store, config, iteration, ended)
        steps += found
        ended = outcome_of(found)
    return steps


def walk_iteration(store: Store, config: RunConfig, iteration: int, ended: Outcome) -> list[Step]:
    """The steps of one iteration, given what the one before ended with."""
    made, steps = Outcome(), []
    for stage in stage_names(iteration):
        sources = STAGES[stage].inputs_in(config, iteration)
        found = {name: (ended if each.before else made).get(each.made_as) for name, each in sources.items()}
        inputs = {name: ref for name, ref in found.items() if ref is not None}
        location = locate(config, iteration, stage, inputs) if len(inputs) == len(sources) else None
        ref, damage = _look(store, location) if location else (None, None)
        if ref is not None:
            made.add(stage, ref)
        steps.append(Step(iteration, stage, location, ref, damage))
    return steps


def readable_steps(store: Store, config: RunConfig, iterations: int) -> list[Step]:
    """As `walk`, and where a stage has nothing under today's key, the newest artifact that it has.

    For reading alone, so that a store which an earlier version of rzero made can still be looked at. A stage
    that the earlier version did not have is left out.
    """
    steps = [_or_earlier(store, config.run, step) for step in walk(store, config, iterations)]
    skipped = {
        (step.iteration, source.made_as)
        for step in steps
        if step.is_earlier
        for source in STAGES[step.stage].inputs.values()
        if not source.before
    }
    return [step for step in steps if step.ref or (step.iteration, step.stage) not in skipped]


def _or_earlier(store: Store, run: str, step: Step) -> Step:
    if step.ref is not None or step.damage is not None:
        return step
    location = newest_location(store, run, step.iteration, step.stage)
    ref, _ = _look(store, location) if location else (None, None)
    return step if ref is None else Step(step.iteration, step.stage, location, ref, is_earlier=True)


def _look(store: Store, location: Location) -> tuple[ArtifactRef | None, str | None]:
    """The artifact at a location, or what is wrong with it."""
    try:
        return find(store, location), None
    except DamagedArtifact as damage:
        return None, str(damage)


def outcome_of(steps: list[Step]) -> Outcome:
    """What the steps of an iteration have made so far."""
    outcome = Outcome()
    for step in steps:
        if step.ref is not None:
            outcome.add(step.stage, step.ref)
    return outcome
