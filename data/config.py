"""The configuration of a run: frozen, every field described, unknown fields refused.

Numbers of the paper are quoted as "paper: ..." in the descriptions; the presets in
`data/presets/` set them. Prefect's UI renders its form from these classes.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from data.backends import BackendConfig, SamplerConfig, TrackerConfig, TrainerConfig
from data.domain import PromptStyle
from data.foreign import ENDPOINT, one_line
from data.gates import GatesConfig
from data.methods.examples import ExamplesConfig
from data.methods.vocabulary import VocabularyDropoutConfig
from data.section import Added, Count, Probability, Section
from data.tiny.settings import TinyModelConfig

DEFAULT_STORE = "./rzero-store"
LONGEST_PROMPT_TOKENS = 2048
"""Of the Solver's prompt with a question that it trains on, as in the paper's code (`max_prompt_length`).

One longer prompt would decide how many tokens every rollout of the training must have room for.
"""
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

DEFAULT_REWARD: dict[str, dict[str, float]] = {
    "uncertainty": {"weight": 1.0},
    "answered": {"weight": 1.0},
    "repetition": {"weight": 1.0, "threshold": 0.5},
}
"""The Challenger's reward of the paper, section 2.2; `answered` differs from 1 only where samples abstain."""


def check_run_name(name: str) -> str:
    """The name, which becomes part of paths; ValueError where it is not one."""
    if not RUN_NAME.fullmatch(name) or ".." in name:
        raise ValueError(
            f"{one_line(repr(name), 80)} is not a run name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or a digit, without '..'"
        )
    return name


class BaseModelConfig(Section):
    """Which model the first Challenger and the first Solver are."""

    name: str = Field(
        "tiny",
        description="'tiny' (pre-trained in place), a Hugging Face id, a local model directory, or "
        "'package:<name>' (an installed Python package that carries a GGUF file).",
    )
    revision: str | None = Field(None, description="Commit or tag of a Hugging Face id.")
    prompt_style: PromptStyle = Field(
        "chat",
        description="'chat': the domain's messages in the model's chat template, or as plain system/user "
        "lines where it has none. 'examples': the same with worked examples, for models too small to follow "
        "an instruction.",
    )
    tiny: TinyModelConfig | None = Field(
        None,
        description="How 'tiny' is pre-trained, and which chains the benchmark 'arithmetic' holds out; null: "
        "the defaults.",
    )


class SamplingConfig(Section):
    """How completions are drawn."""

    temperature: float = Field(1.0, ge=0.0, le=5.0, description="0 is greedy. Paper: 1.0.")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="Nucleus; 1 keeps everything.")
    top_k: int = Field(0, ge=0, description="Only the k likeliest tokens; 0 keeps all.")
    max_tokens: Count = Field(4096, description="Longest completion. Paper's code: 4096.")


class GrpoConfig(SamplingConfig):
    """One stage of GRPO training (paper, section 2 and appendix; DeepSeekMath for GRPO itself)."""

    steps: int = Field(ge=0, description="Training steps; 0 leaves the model as it is.")
    prompts_per_step: Count = Field(128, description="Groups in one rollout batch.")
    group_size: int = Field(ge=2, description="Rollouts of one prompt, compared with each other.")
    updates_per_step: Count = Field(1, description="Optimiser updates made from one rollout batch.")
    micro_batch_size: Count = Field(
        64, description="Rollouts in one forward pass; gradients are accumulated over them."
    )
    learning_rate: float = Field(1e-6, gt=0.0, description="Of AdamW. Paper: 1e-6.")
    weight_decay: float = Field(1e-2, ge=0.0, description="Of AdamW. Paper: 1e-2.")
    adam_beta1: float = Field(0.9, ge=0.0, lt=1.0, description="AdamW's first beta.")
    adam_beta2: float = Field(0.999, ge=0.0, lt=1.0, description="AdamW's second beta.")
    gradient_clip: float = Field(1.0, gt=0.0, description="Largest norm of the gradient.")
    kl_coefficient: float = Field(1e-2, ge=0.0, description="Weight of the KL loss term. Paper: 1e-2.")
    clip_low: float = Field(0.2, ge=0.0, lt=1.0, description="Lower clip of the probability ratio.")
    clip_high: float = Field(0.3, ge=0.0, description="Upper clip of the probability ratio.")
    clip_dual: float = Field(
        3.0, gt=1.0, description="Dual clip of the loss where the advantage is negative."
    )
    divide_by_std: bool = Field(True, description="Divide the advantage by the group's standard deviation.")
    checkpoint_every_steps: Count = Field(5, description="Steps between two checkpoints in the store.")


class ChallengerConfig(GrpoConfig):
    """Training of the Challenger: questions at the edge of what the Solver can do."""

    reward_samples: int = Field(10, ge=2, description="m: answers of the Solver to each question. Paper: 10.")
    reward: dict[str, dict[str, JsonValue] | None] = Field(
        default_factory=dict,
        validate_default=True,
        description="Terms of the reward by name (tasks/rewards/terms), each with its weight and options; "
        "null: without this term. The paper's terms are there unless they are null.",
    )
    probe_questions: int = Field(
        0, ge=0, description="Fresh questions scored before training, to watch the reward; 0: none."
    )
    examples: Added[ExamplesConfig | None] = Field(
        None,
        description="Show the Challenger a few problems that people wrote; null: none, as in the paper.",
    )
    vocabulary_dropout: Added[VocabularyDropoutConfig | None] = Field(
        None,
        description="Hide a share of the tokens from the Challenger while it is trained and while it writes "
        "candidates; null: none, as in the paper.",
    )

    @field_validator("reward", mode="before")
    @classmethod
    def _over_the_papers(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        reward: dict[str, Any] = {name: dict(settings) for name, settings in DEFAULT_REWARD.items()}
        for name, settings in given.items():
            known = reward.get(name, {})
            reward[name] = {**known, **settings} if isinstance(settings, dict) else settings
        return reward


class SolverConfig(GrpoConfig):
    """Training of the Solver on the kept questions and their pseudo-labels.

    Its own settings are not the paper's (docs/methods.md); the trainer `verl` knows none of them but
    `max_epochs`.
    """

    max_epochs: Added[float | None] = Field(
        None,
        gt=0.0,
        description="Fewer steps where fewer questions are kept: at most so many passes over them, but one "
        "step at least. null: always all steps.",
    )
    drop_flat_groups: Added[bool] = Field(
        False, description="Leave groups whose rewards are all equal out of the update. Paper: no."
    )
    label_trust: Added[float] = Field(
        0.0,
        ge=0.0,
        description="A question's advantages are multiplied by its p_hat to this power. Paper: 0, all alike.",
    )
    clip_ambiguity: Added[Probability] = Field(
        0.0,
        description="a: a question's upper clip is clip_high * (1 + a * (1 - 2 * p_hat)), wider where its "
        "label is unsure. It matters with more than one update a step only. Paper: 0, all alike.",
    )

    def on(self, questions: int) -> SolverConfig:
        """The same with as many steps as are made on so many kept questions."""
        if self.max_epochs is None or not self.steps:
            return self
        passes = int(self.max_epochs * questions / self.prompts_per_step)
        return self.model_copy(update={"steps": min(self.steps, max(1, passes))})

    def beyond_grpo(self) -> dict[str, Any]:
        """What it asks of a trainer besides GRPO: settings that are not at their default, each with that."""
        grpo = {*GrpoConfig.model_fields, "max_epochs"}
        own = {name: field.default for name, field in SolverConfig.model_fields.items() if name not in grpo}
        return {name: default for name, default in own.items() if getattr(self, name) != default}


class QuestionsConfig(SamplingConfig):
    """Candidate questions written by the trained Challenger."""

    count: Count = Field(
        8000, le=32_768, description="N: candidates, which are all compared with each other. Paper: 8000."
    )
    shard_size: Count = Field(1000, description="Candidates in one shard, the unit of work and of resume.")


class AnswersConfig(SamplingConfig):
    """Answers of the Solver to the candidate questions."""

    samples: int = Field(10, ge=2, description="m: answers to each question. Paper: 10.")
    shard_size: Count = Field(1000, description="Questions in one shard, the unit of work and of resume.")


class FilterConfig(Section):
    """Which questions the Solver trains on (paper, section 2.3)."""

    delta: float = Field(
        0.25, ge=0.0, le=0.5, description="Keep where |p_hat - 1/2| <= delta. Paper: 0.25, 3 to 7 of 10."
    )
    min_answered_share: Probability = Field(
        0.5, description="Drop a question where a smaller share of the samples gave an answer."
    )
    surest_share: Added[float | None] = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Of the questions that would be kept, keep this share with the highest p_hat; null: all, "
        "as in the paper.",
    )
    labels: Literal["majority", "truth", "random"] = Field(
        "majority",
        description="What the Solver trains on. 'majority': the paper's pseudo-labels. For experiments only: "
        "'truth' (questions whose truth is not known are dropped) and 'random' (labels of other questions).",
    )
    contamination: Literal["off", "report", "drop"] = Field(
        "report",
        description="Candidates that resemble a problem of the evaluation: 'report' lists them, 'drop' keeps "
        "them out of the curriculum too. Copies word by word are always kept out.",
    )
    contamination_ngram: int = Field(8, ge=2, le=50, description="Words in a row that are compared.")
    contamination_share: Probability = Field(
        0.5, description="A hit shares at least this part of the shorter text's n-grams."
    )


class MemoryConfig(Section):
    """Replay of earlier iterations' questions to the Solver; not in the paper.

    The Challenger's own memory is the term `memory` of its reward.
    """

    replay_share: Probability = Field(
        0.0, description="Share of all earlier kept questions that the Solver trains on again."
    )


class JudgeConfig(Section):
    """A model that rechecks grades, behind an OpenAI-compatible endpoint. Its key: RZERO_JUDGE_API_KEY."""

    url: str = Field(description="Base URL up to /v1, for example http://localhost:8000/v1.")
    model: str = Field(description="Name of the model at that endpoint.")
    temperature: float = Field(0.1, ge=0.0, le=2.0, description="Paper: 0.1.")
    max_tokens: Count = Field(2048, description="Longest verdict, its reasoning included.")
    recheck_passes_share: Probability = Field(
        0.1, description="Share of the answers right by rule that are rechecked too; failures all are."
    )
    labels: int = Field(
        200,
        ge=0,
        description="Kept questions an iteration whose pseudo-label it judges where the truth cannot be "
        "computed; for watching only.",
    )
    concurrency: Count = Field(8, description="Requests at once.")
    timeout_seconds: float = Field(120.0, gt=0.0, description="Longest wait for one verdict.")

    @field_validator("url")
    @classmethod
    def _url_is_plain(cls, value: str) -> str:
        if not ENDPOINT.fullmatch(value):
            raise ValueError(
                "write it as http(s)://host/v1, without a user, a password or a query; the key stands in "
                "RZERO_JUDGE_API_KEY"
            )
        return value.rstrip("/")


class EvaluationConfig(SamplingConfig):
    """How each iteration's Solver is measured."""

    benchmarks: tuple[str, ...] = Field(
        description="Names of benchmarks, see data/benchmarks; each once. An empty list: nothing is measured."
    )
    data: dict[str, str] = Field(
        default_factory=dict,
        description="sha256 of the problems of each benchmark that is read from files; filled in when a run "
        "begins, so that changed data count as new work.",
    )
    samples: int | None = Field(
        None,
        ge=0,
        description="k: sampled completions a problem, of every benchmark, for mean@k and maj@k; 0: greedy "
        "alone. Null: what each benchmark declares (paper: 32 for AMC and AIME, greedy for the rest).",
    )
    greedy: bool | None = Field(
        None, description="One completion at temperature 0 besides. Null: what each benchmark declares."
    )
    shard_size: Count = Field(1000, description="Problems in one shard, the unit of work and of resume.")
    judge: JudgeConfig | None = Field(None, description="Recheck grades by a model; null: rules alone.")

    @field_validator("benchmarks")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a benchmark is named twice")
        return value


class RunConfig(Section):
    """Everything that decides what a run computes."""

    run: str = Field(description="Name of the run: letters, digits, '.', '_' and '-'.")
    preset: str = Field("tiny", description="Name of the preset that the run began with.")
    base_model: BaseModelConfig = Field(description="The first Challenger and Solver.")
    domain: str = Field(
        "mathematics",
        description="What the problems are about, see data/domains: it decides the prompts, how proposals "
        "and answers are read, when two answers are equal, and what is known of the truth.",
    )
    roles: Literal["two", "one"] = Field(
        "two",
        description="'two': Challenger and Solver are two models, as in the paper. 'one': one model plays "
        "both, in each iteration trained as Challenger and then as Solver (docs/methods.md).",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="The one seed that all others are derived from.")
    iterations: Count = Field(3, description="How many iterations to run. Paper: 3.")
    store: str = Field(DEFAULT_STORE, description="Where artifacts live: a folder or s3://bucket/prefix.")
    challenger: ChallengerConfig = Field(description="Training of the Challenger.")
    questions: QuestionsConfig = Field(description="Candidate questions.")
    answers: AnswersConfig = Field(description="Answers that vote.")
    filter: FilterConfig = Field(description="Which questions are kept.")
    memory: MemoryConfig | None = Field(
        None,
        description="Replay of earlier iterations' questions; null: none, as in the paper.",
    )
    solver: SolverConfig = Field(description="Training of the Solver.")
    evaluation: EvaluationConfig = Field(description="How the Solver is measured.")
    sampler: SamplerConfig = Field(description="The backend that draws completions.")
    trainer: TrainerConfig = Field(description="The backend that trains.")
    trackers: tuple[TrackerConfig, ...] = Field(
        (),
        description="Experiment trackers that the run is told to, each once: a name, or settings with "
        "`backend`. They decide nothing of what a run computes, so they may change when a run is resumed.",
    )
    timeout_seconds: dict[str, Count] = Field(
        default_factory=dict,
        description="Longest attempt at a stage, by the stage's name (of one shard, where it has shards). "
        "It decides nothing of what a run computes, so it may change when a run is resumed.",
    )
    gates: GatesConfig = Field(
        default_factory=GatesConfig,
        description="What the run watches of itself, and what it then does. They decide nothing of what is "
        "finished, so they may change when a run is resumed.",
    )

    @field_validator("run")
    @classmethod
    def _name_is_safe(cls, value: str) -> str:
        return check_run_name(value)

    @field_validator("sampler", "trainer")
    @classmethod
    def _can_hide_tokens(cls, value: BackendConfig, info: ValidationInfo) -> BackendConfig:
        challenger, name = info.data.get("challenger"), str(info.field_name)
        if challenger and challenger.vocabulary_dropout and not value.hides_tokens:
            able = {"sampler": "transformers", "trainer": "local"}[name]
            raise ValueError(
                f"{value.backend} has no challenger.vocabulary_dropout: set {name}.backend={able}, or leave "
                "challenger.vocabulary_dropout at null"
            )
        return value

    @field_validator("trainer")
    @classmethod
    def _trainer_can(cls, value: TrainerConfig, info: ValidationInfo) -> TrainerConfig:
        asked = info.data["solver"].beyond_grpo() if "solver" in info.data else {}
        if value.backend == "verl" and asked:
            name, default = next(iter(asked.items()))
            raise ValueError(
                f"verl has no solver.{name}: set trainer.backend=local, or leave solver.{name} at {default}"
            )
        return value

    @field_validator("trackers", mode="before")
    @classmethod
    def _names_are_trackers(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        return [{"backend": each} if isinstance(each, str) else each for each in given]

    @field_validator("trackers")
    @classmethod
    def _trackers_once(cls, value: tuple[TrackerConfig, ...]) -> tuple[TrackerConfig, ...]:
        if len({each.backend for each in value}) < len(value):
            raise ValueError("a tracker is named twice")
        return value
