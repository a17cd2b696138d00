"""Problems and grades of an exported evaluation, as lm-evaluation-harness asks for them.

Two values are equal if their texts are or if math-verify says so: another judge than rzero's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.grading.reading import letter_of, read_answer, same_text

_POWER_OF_TEN = re.compile(r"(?<=[0-9.])[eE]([+-]?[0-9]+)")
_AS_LATEX = r"\\times 10^{\1}"


def problems(file: str, **_: Any) -> dict[str, Any]:
    """The problems of a task, from the JSON lines beside this file."""
    import datasets

    lines = (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines()
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}


def graded(doc: Mapping[str, Any], results: Sequence[Sequence[str]]) -> dict[str, float]:
    """The share of a problem's completions that are right; what rzero found of its own, where it is known."""
    right = [is_right(doc, completion) for completion in results[0]]
    figures = {"correct": sum(right) / len(right)}
    if "rzero_correct" in doc:
        figures["rzero_correct"] = sum(doc["rzero_correct"]) / len(doc["rzero_correct"])
        if doc["mode"] == "greedy":
            figures["same_as_rzero"] = float(right == doc["rzero_correct"])
    return figures


def is_right(doc: Mapping[str, Any], completion: str) -> bool:
    """Whether the answer of a completion is one of the right ones."""
    answer = read_answer(doc["grading"], completion).answer
    golds = [doc["gold"], *doc["accepted"]]
    if answer is None:
        return False
    if doc["grading"] == "choice":
        return answer in [letter_of(gold) for gold in golds]
    if doc["grading"] == "text":
        return any(same_text(answer, gold) for gold in golds)
    return any(_same_value(answer, gold) for gold in golds) or _is_near(answer, doc["gold"], doc["tolerance"])


def _same_value(answer: str, gold: str) -> bool:
    from math_verify import verify

    return answer.strip() == gold.strip() or bool(verify(_parsed(gold), _parsed(answer)))


def _is_near(answer: str, gold: str, tolerance: float) -> bool:
    if not tolerance:
        return False
    try:
        a, b = (float(_parsed(text)[0]) for text in (answer, gold))
    except (TypeError, ValueError, IndexError, OverflowError):
        return False
    return abs(a - b) <= tolerance * (1 + 1e-12)


def _parsed(text: str) -> list[Any]:
    from math_verify import parse

    # It does not know 1.6e14, as minerva's answers are written.
    found: list[Any] = parse(f"${_POWER_OF_TEN.sub(_AS_LATEX, text)}$")
    return found
