"""Which GPU works when in one iteration: a small simulator, fed by rates.

It draws a timeline for each schedule and says for what share of their time the GPUs work:

- authors: half of the GPUs train, half serve the frozen Solver, also while only one half has work to do;
  the Solver trains on the training half alone.
- split: the same halves while the Challenger trains, the Solver answers meanwhile; all else on all GPUs.
- shared: training and frozen Solver take turns on all GPUs (`trainer.solver_gpus: 0`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import yaml

from data import benchmarks
from data.benchmark import BenchmarkError
from data.config import RunConfig
from data.resolve import ConfigError
from data.section import Section

Schedule = Literal["authors", "split", "shared"]
SCHEDULES: tuple[Schedule, ...] = ("authors", "split", "shared")
_WIDTH = 60
_MODEL_BYTES_A_PARAMETER = 2


class Rates(Section):
    """One GPU of a machine; tokens per second are of a model of 4B parameters."""

    memory_gib: float
    """Of the GPU, by which the rates of a machine are found."""
    decode_tokens_per_second: float
    train_tokens_per_second: float
    engine_start_seconds: float
    trainer_start_seconds: float
    upload_mebibytes_per_second: float
    source: str


@dataclass(frozen=True)
class Load:
    """What the model writes: mean tokens of a question and of an answer, and its size."""

    question_tokens: int = 700
    answer_tokens: int = 1200
    billion_parameters: float = 4.0


@dataclass(frozen=True)
class Span:
    """Some GPUs, numbered from `first`, at one piece of work; seconds from the iteration's start."""

    stage: str
    work: str
    start: float
    seconds: float
    first: int
    gpus: int
    is_work: bool = True


def read_rates(memory_gib: float) -> Rates:
    """The assumed rates of the GPU whose memory is the closest; of the smaller one where two are as close."""
    table = yaml.safe_load(resources.files("data").joinpath("rates.yaml").read_text(encoding="utf-8"))
    known = [Rates(**rates) for rates in table.values()]
    return min(known, key=lambda rates: (abs(rates.memory_gib - memory_gib), rates.memory_gib))


def load_of(config: RunConfig, parameters: int) -> Load:
    """What a model of this size writes: as those of the paper do, or to its limit where that is lower."""
    usual = Load()
    return Load(
        question_tokens=min(usual.question_tokens, config.questions.max_tokens),
        answer_tokens=min(usual.answer_tokens, config.answers.max_tokens),
        billion_parameters=parameters / 1e9,
    )


def simulate(config: RunConfig, rates: Rates, gpus: int, schedule: Schedule, load: Load) -> list[Span]:
    """The spans of one iteration, one after another; one GPU is always shared.

    Checkpoints are not among them: they are saved while the training goes on. Nor is grading, which takes no
    GPU. ConfigError for an unknown benchmark.
    """
    spans: list[Span] = []
    speed = 4.0 / load.billion_parameters

    def add(stage: str, work: str, seconds: float, gpus: int, first: int = 0, is_work: bool = True) -> None:
        start = spans[-1].start + spans[-1].seconds if spans else 0.0
        spans.append(Span(stage, work, start, seconds, first, gpus, is_work))

    def decode(stage: str, work: str, tokens: float, gpus: int, first: int = 0) -> None:
        add(stage, work, tokens / (rates.decode_tokens_per_second * speed * gpus), gpus, first)

    def update(stage: str, tokens: float, gpus: int) -> None:
        add(stage, "update", tokens / (rates.train_tokens_per_second * speed * gpus), gpus)

    def start(stage: str, seconds: float, gpus: int) -> None:
        add(stage, "start", seconds, gpus, is_work=False)

    def upload(stage: str, gpus: int) -> None:
        mebibytes = _MODEL_BYTES_A_PARAMETER * load.billion_parameters * 1e9 / 2**20
        add(stage, "upload", mebibytes / rates.upload_mebibytes_per_second, gpus, is_work=False)

    half = gpus // 2
    splits = schedule != "shared" and half > 0
    training, solver, first = (gpus - half, half, gpus - half) if splits else (gpus, gpus, 0)
    stage = "train_challenger"
    challenger, samples = config.challenger, config.challenger.reward_samples
    start(stage, max(rates.trainer_start_seconds, rates.engine_start_seconds), gpus)
    for _ in range(challenger.steps):
        rollouts = challenger.prompts_per_step * challenger.group_size
        decode(stage, "rollouts", rollouts * load.question_tokens, training)
        decode(stage, "answers", rollouts * samples * load.answer_tokens, solver, first)
        update(stage, rollouts * load.question_tokens, training)
    upload(stage, gpus)
    start("generate_questions", rates.engine_start_seconds, gpus)
    count = config.questions.count
    decode("generate_questions", "questions", count * load.question_tokens, gpus)
    if config.roles == "two":  # One model goes on in the engine that wrote the questions.
        start("sample_answers", rates.engine_start_seconds, gpus)
    decode("sample_answers", "answers", count * config.answers.samples * load.answer_tokens, gpus)
    stage = "train_solver"
    used = training if schedule == "authors" else gpus
    start(stage, rates.trainer_start_seconds, used)
    for _ in range(config.solver.steps):
        tokens = config.solver.prompts_per_step * config.solver.group_size * load.answer_tokens
        decode(stage, "rollouts", tokens, used)
        update(stage, tokens, used)
    upload(stage, used)
    if completions := evaluation_completions(config):
        start("sample_evaluation", rates.engine_start_seconds, gpus)
        decode("sample_evaluation", "completions", completions * load.answer_tokens, gpus)
    return spans


def evaluation_completions(config: RunConfig) -> int:
    """How many completions an evaluation draws, of the benchmarks that declare their size."""
    try:
        found = [benchmarks.get(name) for name in config.evaluation.benchmarks]
    except BenchmarkError as error:
        raise ConfigError(f"evaluation.benchmarks: {error}") from None
    return sum((each.size or 0) * sum(each.modes(config.evaluation).values()) for each in found)


def hours(spans: Sequence[Span]) -> float:
    """How long an iteration takes."""
    return max(span.start + span.seconds for span in spans) / 3600


def worked_share(spans: Sequence[Span], gpus: int) -> float:
    """The share of GPU time that is spent on tokens."""
    total = max(span.start + span.seconds for span in spans) * gpus
    return sum(span.seconds * span.gpus for span in spans if span.is_work) / total


def timeline(spans: Sequence[Span], gpus: int) -> Iterator[str]:
    """A line for GPUs that work alike: a letter for a stage, '·' for starts and uploads, ' ' for waiting."""
    letters = {
        "train_challenger": "C",
        "generate_questions": "Q",
        "sample_answers": "A",
        "train_solver": "S",
        "sample_evaluation": "E",
    }
    end = max(span.start + span.seconds for span in spans)
    lines: list[tuple[str, list[int]]] = []
    for gpu in range(gpus):
        # A column shows what fills most of its time.
        columns: list[dict[str, float]] = [{} for _ in range(_WIDTH)]
        for span in spans:
            if not span.first <= gpu < span.first + span.gpus:
                continue
            mark = letters[span.stage] if span.is_work else "·"
            for column in range(_WIDTH):
                left, right = column * end / _WIDTH, (column + 1) * end / _WIDTH
                overlap = min(right, span.start + span.seconds) - max(left, span.start)
                if overlap > 0:
                    columns[column][mark] = columns[column].get(mark, 0.0) + overlap
        drawn = "".join(_most(column, end / _WIDTH) for column in columns)
        if lines and lines[-1][0] == drawn:
            lines[-1][1].append(gpu)
        else:
            lines.append((drawn, [gpu]))
    for drawn, members in lines:
        named = f"{members[0]}" if len(members) == 1 else f"{members[0]}–{members[-1]}"
        yield f"GPU {named:<5} |{drawn}|"


def _most(marks: dict[str, float], width: float) -> str:
    waiting = width - sum(marks.values())
    mark, seconds = max(marks.items(), key=lambda item: item[1], default=(" ", 0.0))
    return mark if seconds >= waiting else " "
