"""Examples that people wrote, shown to the Challenger (R-Few, arXiv 2512.02472)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from data.benchmark import BenchmarkError
from data.benchmark_files import content_of, parse_rows
from data.foreign import is_possible, one_line
from data.section import Section, Unkeyed
from data.seeds import derive_seed

ENDINGS = (".jsonl", ".json", ".parquet")
MOST_EXAMPLES = 256
"""They are a part of the run's configuration, which every artifact records."""


class ExampleError(ValueError):
    """Examples cannot be used; the message is one line."""


class Example(Section):
    """A problem as the Challenger might have written it."""

    question: str = Field(description="The problem.")
    answer: str = Field(description="Its final answer.")


class ExamplesConfig(Section):
    """Problems of people that each prompt of the Challenger shows a few of."""

    file: Unkeyed[str | None] = Field(
        None,
        description="Path or URI of a file with the columns question and answer: .jsonl, .json or .parquet. "
        "It is read when a run begins.",
    )
    count: int = Field(2, ge=1, le=8, description="Examples in one prompt, drawn by its seed.")
    shown: tuple[Example, ...] = Field(
        (),
        max_length=MOST_EXAMPLES,
        description="The examples; those of `file` once the run has begun, so that a changed file counts as "
        "new work.",
    )

    def drawn(self, seed: int) -> list[Example]:
        """`count` of the examples in an order of their own, a function of the seed."""
        order = sorted(range(len(self.shown)), key=lambda number: derive_seed(seed, "example", number))
        return [self.shown[number] for number in order[: self.count]]


def read_examples(uri: str) -> tuple[Example, ...]:
    """The examples of a file; ExampleError where it is missing, misshapen, empty or has too many."""
    if not is_possible(uri) or "@" in uri:
        raise ExampleError("that is no path or URI of a file")
    if not uri.endswith(ENDINGS):
        raise ExampleError(f"{one_line(uri, 80)} is in no known form: write {', '.join(ENDINGS)}")
    try:
        content = content_of(uri)
        if content is None:
            raise ExampleError(f"there is no file {one_line(uri, 160)}")
        rows = parse_rows(uri, content)
    except BenchmarkError as error:
        raise ExampleError(one_line(str(error))) from None
    if not 0 < len(rows) <= MOST_EXAMPLES:
        raise ExampleError(f"{uri} has {len(rows)} examples, not 1 to {MOST_EXAMPLES}")
    return tuple(_examples(uri, rows))


def _examples(uri: str, rows: Sequence[dict[str, object]]) -> Iterator[Example]:
    for number, row in enumerate(rows, 1):
        texts = [row.get(name) for name in ("question", "answer")]
        if isinstance(texts[1], int) and not isinstance(texts[1], bool):
            texts[1] = str(texts[1])
        question, answer = texts
        if not isinstance(question, str) or not isinstance(answer, str):
            raise ExampleError(f"{uri}, example {number}: question and answer must be texts")
        yield Example(question=question.strip(), answer=answer.strip())
