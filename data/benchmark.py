"""What a benchmark is: where its data lie, which columns make a problem, how it is sampled and graded."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from data.config import BaseModelConfig, EvaluationConfig

Row = Mapping[str, Any]
"""A row of a data set, by column."""

CHOICE_INSTRUCTION = "Put only the letter of the right option in \\boxed{}."


class BenchmarkError(ValueError):
    """A benchmark cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its number within the benchmark, the part of it that it belongs to, its right answer.

    `accepted` are other answers that are right too; `tolerance` is how far a number may be from the gold
    one, 0 for exact.
    """

    problem_id: int
    group: str
    problem: str
    gold: str
    accepted: tuple[str, ...] = ()
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class HubFiles:
    """Files of a data set on the Hugging Face hub; `files` may hold wildcards (* matches / too)."""

    repository: str
    files: str
    revision: str = "main"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark, declared. A file `data/benchmarks/<name>.py` with one `BENCHMARK` is all there is to add.

    `area` decides which average it belongs to. `question`, `answer`, `group` and `options` name columns;
    `answer` may be a function of the row that gives the right answer, or several of which each is right.
    `grading`: 'math' by mathematical value, 'domain' by the equality of the run's domain, 'choice' by the
    letter, 'text' by BBEH's rules on strings. `samples` is k of mean@k (None: greedy alone). `size` is the
    number of problems of the whole set. `group_title` says what a problem's group is.

    Problems that are not rows of a file come from `generate`, anew whenever they are asked for, or from
    `make`, once, when a run begins: the run freezes them.
    """

    area: Literal["math", "general", "other"]
    size: int | None = None
    hub: HubFiles | None = None
    question: str = "problem"
    answer: str | Callable[[Row], str | Sequence[str]] = "answer"
    group: str | None = None
    group_title: str = "part of the benchmark"
    options: str | None = None
    tolerance: Callable[[Row], float] | None = None
    instruction: str = ""
    grading: Literal["math", "domain", "choice", "text"] = "math"
    samples: int | None = None
    greedy: bool = True
    generate: Callable[[BaseModelConfig], list[Problem]] | None = None
    make: Callable[[], list[Problem]] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a data file must have, as far as they are declared by name."""
        answer = (self.answer,) if isinstance(self.answer, str) else ()
        return tuple(name for name in (self.question, *answer, self.group, self.options) if name)

    def problem_of(self, number: int, row: Row) -> Problem:
        """The problem of a row; BenchmarkError where the question or the answer is missing."""
        missing = [name for name in self.columns if name not in row]
        if missing:
            raise BenchmarkError(f"row {number + 1} has no column {missing[0]!r}; it has: {', '.join(row)}")
        found = row[self.answer] if isinstance(self.answer, str) else self.answer(row)
        answers = [found] if isinstance(found, str | int | float) or found is None else list(found)
        texts = [text_of(answer) for answer in answers]
        question = text_of(row[self.question])
        if not question or not texts or not all(texts):
            raise BenchmarkError(f"row {number + 1} has an empty question or answer")
        if self.options:
            lettered = zip(string.ascii_uppercase, row[self.options], strict=False)
            options = "\n".join(f"{letter}. {text_of(option)}" for letter, option in lettered)
            question = f"{question}\n\n{options}"
        if self.instruction:
            question = f"{question}\n\n{self.instruction}"
        return Problem(
            number,
            text_of(row[self.group]) if self.group else "",
            question,
            texts[0],
            tuple(texts[1:]),
            self.tolerance(row) if self.tolerance else 0.0,
        )

    def modes(self, config: EvaluationConfig) -> dict[str, int]:
        """How it is sampled: 'sampled' with k completions a problem, 'greedy' with one, or both.

        The benchmark declares it; `evaluation.samples` and `evaluation.greedy` overrule that for all.
        """
        samples = (self.samples or 0) if config.samples is None else config.samples
        greedy = self.greedy if config.greedy is None else config.greedy
        found = {"sampled": samples} if samples else {}
        if greedy or not samples:
            found["greedy"] = 1
        return found

    def check(self, config: EvaluationConfig) -> None:
        """BenchmarkError where all samples of a problem would be the same."""
        samples = self.modes(config).get("sampled", 0)
        if samples > 1 and config.temperature == 0:
            raise BenchmarkError(
                f"evaluation.temperature is 0: the {samples} samples would be copies of one answer; "
                "set a temperature, or evaluation.samples=0 for greedy alone"
            )

    def headline(self, modes: Mapping[str, int]) -> str:
        """The mode of the figure that enters the averages: as declared, else the one there is."""
        wanted = "sampled" if self.samples else "greedy"
        return wanted if wanted in modes else next(iter(modes))


def text_of(value: Any) -> str:
    """A cell as text: 27.0 is 27, null is empty."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
