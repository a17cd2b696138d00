r"""Reading a Challenger's proposal and a Solver's answer out of a completion.

One scanner serves both roles, so that training and generation cannot disagree about what a box is:
`\boxed` or `\fbox`, optional blanks, a brace and its partner, where `\{` and `\}` are text and not
braces. Of several boxes the last complete one counts; an unclosed box after it changes nothing. A
box in a box is unwrapped. Everything is linear in the length of the completion.

Why a completion was refused is one of `REASONS`.
"""

from __future__ import annotations

import re

from tasks.voting.reading.lexicon import PLACEHOLDER_ANSWERS, PLACEHOLDER_QUESTIONS

MAX_QUESTION_CHARACTERS = 4000
MAX_ANSWER_CHARACTERS = 300
MAX_DEPTH = 20

REASONS: dict[str, str] = {
    "no_question": "There is no complete <question>...</question> block.",
    "no_box": "There is no complete box; in a proposal, none after the question.",
    "empty": "The question or the answer is blank.",
    "template_echo": "The question or the answer is the prompt's placeholder, copied.",
    "too_long": "The question has over 4000 characters or the answer over 300.",
    "too_deep": "The answer nests brackets more than 20 deep.",
    "nested": "A question block opens inside another one.",
    "off_domain": "The question is none by the grammar of the domain, where it has one.",
}

_TAG = re.compile(r"<(/?)question>", re.IGNORECASE)
_BOX = re.compile(r"\\\\?(?:boxed|fbox)[ \t\r\n]{0,8}\{")
_TOKEN = re.compile(_BOX.pattern + r"|\\.|[{}]", re.DOTALL)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


def proposal(completion: str) -> tuple[str | None, str | None, str | None]:
    r"""(question, answer, None) of a Challenger's completion, or (None, None, reason).

    The question is the last complete `<question>` block (any case), the answer the last complete box
    after it; a box before the block or inside it does not count (paper, section 2.2: a question
    that is not well formed earns 0). `reason` is one of `REASONS`.
    """
    question, end, reason = _question_block(completion)
    if reason is None:
        reason = _question_fault(question)
    if reason is not None:
        return None, None, reason
    answer, reason = solver_answer(completion[end:])
    if reason is None and _letters(answer or "") in PLACEHOLDER_ANSWERS:
        reason = "template_echo"
    if reason is not None:
        return None, None, reason
    return question, answer, None


def solver_answer(completion: str) -> tuple[str | None, str | None]:
    r"""(answer, None) of a Solver's completion, or (None, reason): the sample abstains.

    `reason` is one of `REASONS`: `no_box`, `empty`, `too_long` or `too_deep`.
    """
    answer = _last_box(completion)
    if answer is None:
        return None, "no_box"
    if not _has_content(answer):
        return None, "empty"
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return None, "too_long"
    if depth(answer) > MAX_DEPTH:
        return None, "too_deep"
    return answer, None


def depth(text: str) -> int:
    """How deep round, square and curly brackets nest in a text; unbalanced ones count as open."""
    deepest = level = 0
    for character in text:
        if character in _OPEN:
            level += 1
            deepest = max(deepest, level)
        elif character in _CLOSE and level:
            level -= 1
    return deepest


def _question_block(completion: str) -> tuple[str, int, str | None]:
    """(text, position after it, None) of the last complete block, or ("", 0, reason)."""
    start: int | None = None
    nested = False
    found: tuple[str, int, str | None] = ("", 0, "no_question")
    for tag in _TAG.finditer(completion):
        if not tag.group(1):
            nested = start is not None
            start = tag.end()
        elif start is not None:
            text = completion[start : tag.start()].strip()
            found = ("", 0, "nested") if nested else (text, tag.end(), None)
            start, nested = None, False
    return found


def _question_fault(question: str) -> str | None:
    if not question:
        return "empty"
    if len(question) > MAX_QUESTION_CHARACTERS:
        return "too_long"
    letters = _letters(question)
    if letters in PLACEHOLDER_QUESTIONS or not any(c.isalnum() for c in question):
        return "template_echo"
    return None


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _has_content(answer: str) -> bool:
    """Whether anything is left of an answer without blanks, dollar signs and empty groups."""
    return bool(re.sub(r"[\s${}~.,;…]|\\[,;:! ]", "", answer))


def _last_box(text: str) -> str | None:
    """Content of the last complete outermost box, inner boxes unwrapped."""
    stack: list[tuple[int, int]] = []
    boxes: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark[-1] == "{" and mark != "\\{":
            stack.append(token.span())
        elif mark == "}" and stack:
            opening = stack.pop()
            if opening[1] - opening[0] > 1:  # A box, no ordinary brace.
                boxes.append((opening, token.span()))
    if not boxes:
        return None
    # A box that closes later encloses this one; one that never closes does not count.
    (_, start), (end, _) = boxes[-1]
    pieces = []
    for opens, closes in sorted(edge for box in boxes[:-1] for edge in box if start <= edge[0] < end):
        pieces.append(text[start:opens])
        start = closes
    return "".join([*pieces, text[start:end]]).strip()
