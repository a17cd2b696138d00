"""Reading the answer of a completion for a benchmark: a value, a letter, or a text by BBEH's rules.

An answer that cannot be found is never guessed, and reading an answer never looks at the gold answer. An
exported evaluation carries this file with what it imports (flows/hub/harness.py): nothing beyond Python.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from data.domain import ReadAnswer
from tasks.voting.extraction import solver_answer

_WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|normal)?|math(?:rm|bf|it|tt|sf)|boldsymbol|bm|mbox)\s*\{([^{}]*)\}"
)
_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:)]?|\(([A-Z])\)[.:]?\s+\S.*|([A-Z])[.:)]\s+\S.*", re.DOTALL)
_OTHER_OPTION = re.compile(r"\(([A-Z])\)|(?<![A-Za-z])([A-Z])[.:)](?!\w)|\b(?:and|or)\s+([A-Z])\b")
_SAYS_LETTER = re.compile(
    r"\banswer\s*(?:is|:)\s*:?\s*(?:option\s+)?[*$]*\(?([A-Z])\)?[*$]*(?![A-Za-z])", re.IGNORECASE
)
_SAYS_TEXT = re.compile(r"\bthe\s+(?:final\s+)?answer\s+is\s*:?[ \t]*(\S[^\n]*)", re.IGNORECASE)


class ExtractedAnswer(NamedTuple):
    """The answer of a completion; if it has none, `answer` is None and `reason` says why."""

    answer: str | None
    reason: str | None


def read_answer(grading: str, completion: str, read: ReadAnswer = solver_answer) -> ExtractedAnswer:
    r"""The answer of a completion: what the last `\boxed{}` holds, or what the domain's own `read` finds.

    For a choice it is the one letter in the box or, without a box, that of "the answer is (C)". For a text
    without a box it is what follows "the answer is". Reasons are those of `solver_answer`, and `no_letter`.
    """
    answer, reason = read(completion)
    if grading == "choice":
        if answer is not None:
            letter = letter_of(answer)
            return ExtractedAnswer(letter, None if letter else "no_letter")
        said = _SAYS_LETTER.findall(completion) if reason == "no_box" else []
        return ExtractedAnswer(said[-1].upper(), None) if said else ExtractedAnswer(None, reason)
    if grading == "text" and reason == "no_box":
        texts = _SAYS_TEXT.findall(completion)
        text = texts[-1].strip() if texts else ""
        return ExtractedAnswer(text, None) if plain_text(text) else ExtractedAnswer(None, reason)
    return ExtractedAnswer(answer, reason)


def letter_of(answer: str) -> str | None:
    """The one option that an answer names: C, (c), C., "C. 5 apples"; None if it names none or several."""
    text = _unwrapped(answer)
    match = _LETTER.fullmatch(text)
    if match is None:
        return None
    letter = next(group for group in match.groups() if group).upper()
    others = {group.upper() for groups in _OTHER_OPTION.findall(text) for group in groups if group}
    return letter if others <= {letter} else None


def plain_text(answer: str) -> str:
    """An answer as BBEH compares it: first line, lower case, no mark-up, no closing full stop."""
    text = _unwrapped(answer.strip()).split("\n")[0].replace("**", "").replace(", ", ",")
    return text.strip().lower().removesuffix(".").strip()


def same_text(answer: str, gold: str) -> bool:
    """Whether two short answers are equal by the rules of BBEH's evaluator."""
    a, b = plain_text(answer), plain_text(gold)
    if not a or not b:
        return False
    return a == b or loose_text(a) == loose_text(b) or _same_number(a, b)


def loose_text(text: str) -> str:
    """Without quotes, a closing question mark, or brackets around the whole; (a) is a."""
    text = text.replace("'", "").replace('"', "").removesuffix("?").strip()
    bracketed = text[:1] + text[-1:] in ("[]", "()") and text.count(text[0]) == 1
    return text[1:-1].strip() if bracketed and (text[0] == "[" or len(text) == 3) else text


def _same_number(a: str, b: str) -> bool:
    try:
        return float(a) == float(b)
    except ValueError:
        return False


def _unwrapped(answer: str) -> str:
    """Without dollar signs around it and the LaTeX commands for words in it."""
    text = answer.strip()
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text).strip().strip("$").strip()
    return text.removeprefix("{").removesuffix("}").strip() if text[:1] == "{" else text
