"""Prompts and completions as Parquet files between a stage and its engine. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.samplers.protocol import Completion

_PROMPTS = pa.schema([("prompt", pa.string()), ("seed", pa.int64())])
_COMPLETIONS = pa.schema(
    [
        ("prompt", pa.int64()),
        ("text", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int64()),
    ]
)


def write_prompts(path: Path, prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """A table with a prompt and its seed in each row."""
    pq.write_table(pa.table({"prompt": list(prompts), "seed": list(seeds)}, schema=_PROMPTS), path)


def read_prompts(path: Path) -> tuple[list[str], list[int]]:
    """The prompts and their seeds."""
    table = pq.read_table(path)
    return table["prompt"].to_pylist(), table["seed"].to_pylist()


def write_completions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A completion in each row, `prompt` the number of its prompt; the samples of a prompt in order."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=_COMPLETIONS), path)


def read_completions(path: Path, seeds: Sequence[int]) -> list[list[Completion]]:
    """The completions of each prompt, in order."""
    drawn: list[list[Completion]] = [[] for _ in seeds]
    for row in pq.read_table(path).to_pylist():
        drawn[row["prompt"]].append(
            Completion(
                text=row["text"],
                token_ids=tuple(row["token_ids"]),
                finish_reason=row["finish_reason"],
                seed=seeds[row["prompt"]],
                prompt_tokens=row["prompt_tokens"],
            )
        )
    return drawn
