"""What a domain is: the prompts of both roles, and what can be said of a problem without a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal

Message = dict[str, str]
Prompt = list[Message] | str
"""Messages for the model's chat template, or the very text that the model reads."""

PromptStyle = Literal["chat", "examples"]

ReadProposal = Callable[[str], tuple[str | None, str | None, str | None]]
"""A Challenger's completion in; (question, answer, None) or (None, None, reason) out."""
ReadAnswer = Callable[[str], tuple[str | None, str | None]]
"""A Solver's completion in; (answer, None) or (None, reason) out."""


Habits = Callable[[str], Iterable[tuple[str, bool]]]
"""A Solver's completion in; each occasion for a way of working, and whether it worked so, out."""


class DomainError(ValueError):
    """A domain cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The true answer, whether the question lies within the domain, its length; None: not known."""

    answer: str | None = None
    in_range: bool | None = None
    terms: int | None = None


def tagged(question: str, answer: str) -> str:
    """A proposal in the form that is read by default."""
    return f"<question>{question}</question>\n\\boxed{{{answer}}}"


def plain_text(problem: str) -> str:
    """A problem without regard to letter case and spaces."""
    return " ".join(problem.lower().split())


@dataclass(frozen=True, kw_only=True)
class Domain:
    r"""A kind of problem, declared. A file `data/domains/<name>.py` with one `DOMAIN` is all there is to add.

    `challenger` and `solver` give the prompts in the style that `base_model.prompt_style` asks for.

    `read_proposal` and `read_answer` read completions; None: a `<question>` block and a `\boxed{}` answer.
    Both must be fast on any text, since they run without a time limit. `is_question` is the grammar of a
    domain that has one: a proposal of anything else is badly formed. `equal` compares two answers; None: by
    mathematical value. It runs in worker processes, killed where they take too much time or memory.

    `proposal` writes a question and its answer as the Challenger is to, for prompts that show some. `format`
    are the texts that a proposal is made of, whatever it asks; vocabulary dropout spares their tokens.

    `habits` names the ways of working that show in an answer; the report counts them by iteration.

    `truth` serves to watch a run; only `filter.labels: truth` trains on it. `key` is equal for problems that
    are the same: no candidate with the key of a benchmark's problem is trained on.

    An artifact's key holds the domain's name alone: rename a domain whenever a change affects its results, or
    artifacts of the old one are used again.
    """

    challenger: Callable[[PromptStyle], Prompt]
    solver: Callable[[str, PromptStyle], Prompt]
    read_proposal: ReadProposal | None = None
    read_answer: ReadAnswer | None = None
    is_question: Callable[[str], bool] | None = None
    equal: Callable[[str, str], bool] | None = None
    proposal: Callable[[str, str], str] = tagged
    format: tuple[str, ...] = ("<question>", "</question>", "\\boxed{", "}", "</question>\n\\boxed{")
    habits: Habits | None = None
    truth: Callable[[str], Truth] = lambda question: Truth()
    key: Callable[[str], Hashable] = plain_text

    @property
    def knows_truth(self) -> bool:
        """Whether anything is known of a question beyond its text."""
        return self.truth is not Domain.truth

    def truth_of(self, question: str | None) -> Truth:
        """What is known of a question; nothing where a proposal holds none."""
        return Truth() if question is None else self.truth(question)

    def solver_messages(self, question: str, style: PromptStyle) -> list[Message]:
        """The Solver's prompt as messages: the question alone where the prompt is text."""
        prompt = self.solver(question, style)
        return [{"role": "user", "content": question}] if isinstance(prompt, str) else prompt


def chat(system: str, ask: str, shown: Iterable[tuple[str, str]] = ()) -> list[Message]:
    """A system message, worked examples of what was asked and replied, and what is asked now."""
    examples = [
        {"role": role, "content": text}
        for asked, replied in shown
        for role, text in (("user", asked), ("assistant", replied))
    ]
    return [{"role": "system", "content": system}, *examples, {"role": "user", "content": ask}]
