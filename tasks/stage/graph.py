"""The stages as data: what each reads of the configuration, and from which artifacts it is made.

From this table come the key of every artifact, the answer to "what is finished", and the way from one
iteration to the next. The store is the truth: nothing here asks Prefect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.config import RunConfig
from data.section import Section
from data.seeds import derive_seed
from infra.artifacts.artifact import ArtifactRef, DamagedArtifact, Location, artifact_key, find
from infra.store.store import Store


@dataclass(frozen=True)
class Stage:
    """One stage. `reads` are dotted names within RunConfig; raise `version` when the outcome changes.

    What it reads that is null is in no key, so that a setting can be added without making anything again.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    inputs: tuple[str, ...]
    version: int = 1


_PROMPTS = ("domain", "base_model.prompt_style")
_SAMPLED_ANSWERS = ("answers.temperature", "answers.top_p", "answers.top_k", "answers.max_tokens")

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "prepare_base_model",
            "model",
            ("base_model.name", "base_model.revision", "base_model.tiny", "trainer"),
            (),
            version=2,
        ),
        Stage(
            "train_challenger",
            "model",
            (*_PROMPTS, "challenger", "memory.penalty_weight", *_SAMPLED_ANSWERS, "sampler", "trainer"),
            ("challenger", "solver"),
            version=2,
        ),
        Stage("generate_questions", "questions", (*_PROMPTS, "questions", "sampler"), ("challenger",)),
        Stage("sample_answers", "answers", (*_PROMPTS, "answers", "sampler"), ("questions", "solver")),
        Stage(
            "score_and_filter",
            "scored",
            (
                *_PROMPTS,
                "base_model.tiny",
                "filter",
                "memory",
                "challenger.repetition_weight",
                "challenger.repetition_threshold",
                "evaluation.benchmarks",
                "evaluation.data",
                "evaluation.judge",
            ),
            ("questions", "answers"),
            version=4,
        ),
        Stage(
            "train_solver",
            "model",
            (*_PROMPTS, "solver", "sampler", "trainer"),
            ("solver", "curriculum"),
            version=2,
        ),
        Stage(
            "evaluate",
            "evaluation",
            (*_PROMPTS, "base_model.tiny", "evaluation", "sampler"),
            ("solver",),
            version=2,
        ),
    )
}

BASE_STAGES = ("prepare_base_model", "evaluate")
ITERATION_STAGES = (
    "train_challenger",
    "generate_questions",
    "sample_answers",
    "score_and_filter",
    "train_solver",
    "evaluate",
)


def stage_names(iteration: int) -> tuple[str, ...]:
    """The stages of an iteration in their order; iteration 0 is the base model and its evaluation."""
    return BASE_STAGES if iteration == 0 else ITERATION_STAGES


def inputs_of(config: RunConfig, iteration: int, stage: str) -> tuple[str, ...]:
    """Names of the artifacts that a stage is made from.

    Where a run remembers earlier questions, what it remembers comes as `earlier`: the scored candidates of
    the iteration before, which hold those of all before.
    """
    memory = config.memory
    remembers = {
        "train_challenger": memory is not None and memory.penalty_weight > 0,
        "score_and_filter": memory is not None,
    }
    if iteration > 1 and remembers.get(stage, False):
        return (*STAGES[stage].inputs, "earlier")
    return STAGES[stage].inputs


def stage_seed(config: RunConfig, stage: str, iteration: int) -> int:
    """The seed of a stage. The evaluation's does not depend on the iteration: all see the same dice."""
    return derive_seed(config.seed, stage, 0 if stage == "evaluate" else iteration)


def locate(config: RunConfig, iteration: int, stage: str, inputs: Mapping[str, ArtifactRef]) -> Location:
    """Where the artifact of a stage lies, given its inputs."""
    known, names = STAGES[stage], inputs_of(config, iteration, stage)
    if set(inputs) != set(names):
        raise ValueError(f"{stage} is made from {names}, not from {tuple(inputs)}")
    parts = {name: _part(config, name) for name in known.reads}
    key = artifact_key(
        stage,
        known.version,
        {name: part for name, part in parts.items() if part is not None},
        stage_seed(config, stage, iteration),
        {name: ref.digest for name, ref in inputs.items()},
    )
    return Location(run=config.run, iteration=iteration, stage=stage, key=key)


def _part(config: RunConfig, dotted: str) -> Any:
    value: Any = config
    for name in dotted.split("."):
        value = None if value is None else getattr(value, name)
    return value.key_values() if isinstance(value, Section) else value


@dataclass(frozen=True)
class Step:
    """One stage of one iteration of a run.

    `location` is None while an input of it is unfinished; `damage` says what is wrong with an artifact
    that the next run will set aside and make again.
    """

    iteration: int
    stage: str
    location: Location | None
    ref: ArtifactRef | None
    damage: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What an iteration ends with: its Challenger, its Solver and its scored candidates.

    Iteration 0 ends with the base model as both, and no candidates.
    """

    challenger: ArtifactRef | None = None
    solver: ArtifactRef | None = None
    scored: ArtifactRef | None = None


def walk(store: Store, config: RunConfig, iterations: int) -> list[Step]:
    """All steps of iterations 0 to `iterations`, finished or not, from the store alone."""
    steps: list[Step] = []
    before = Outcome()
    for iteration in range(iterations + 1):
        found = walk_iteration(store, config, iteration, before)
        steps += found
        before = outcome_of(found)
    return steps


def walk_iteration(store: Store, config: RunConfig, iteration: int, before: Outcome) -> list[Step]:
    """The steps of one iteration, given what the one before ended with."""
    made: dict[str, ArtifactRef | None] = {}
    sources = {
        ("train_challenger", "challenger"): before.challenger,
        ("train_challenger", "solver"): before.solver,
        ("train_challenger", "earlier"): before.scored,
        ("score_and_filter", "earlier"): before.scored,
        ("sample_answers", "solver"): before.solver,
        ("train_solver", "solver"): before.solver,
    }
    steps = []
    for stage in stage_names(iteration):
        inputs: dict[str, ArtifactRef] = {}
        names = inputs_of(config, iteration, stage)
        for name in names:
            is_from_before = (stage, name) in sources
            source = sources[stage, name] if is_from_before else made.get(_producer(iteration, name))
            if source is not None:
                inputs[name] = source
        location = locate(config, iteration, stage, inputs) if set(inputs) == set(names) else None
        ref, damage = _look(store, location) if location else (None, None)
        made[stage] = ref
        steps.append(Step(iteration, stage, location, ref, damage))
    return steps


def _look(store: Store, location: Location) -> tuple[ArtifactRef | None, str | None]:
    """The artifact at a location, or what is wrong with it."""
    try:
        return find(store, location), None
    except DamagedArtifact as damage:
        return None, str(damage)


def outcome_of(steps: list[Step]) -> Outcome:
    """What an iteration's steps end with; None where unfinished."""
    made = {step.stage: step.ref for step in steps}
    base = made.get("prepare_base_model")
    return Outcome(
        made.get("train_challenger", base), made.get("train_solver", base), made.get("score_and_filter")
    )


def _producer(iteration: int, name: str) -> str:
    """The stage of the same iteration whose artifact an input is."""
    if iteration == 0:
        return "prepare_base_model"
    return {
        "challenger": "train_challenger",
        "questions": "generate_questions",
        "answers": "sample_answers",
        "curriculum": "score_and_filter",
        "solver": "train_solver",
    }[name]
