"""Where the rows of a benchmark come from: the user's folder or URI, else the Hugging Face hub."""

from __future__ import annotations

import fnmatch
import io
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from data.benchmark import Benchmark, BenchmarkError, HubFiles, Problem
from data.foreign import is_plain, read_json

VARIABLE = "RZERO_BENCHMARKS"
"""Names the folder or fsspec URI that holds `<benchmark>.parquet` or `<benchmark>.jsonl`."""

ENDINGS = ("parquet", "jsonl")


def read_problems(name: str, benchmark: Benchmark) -> list[Problem]:
    """All problems of a benchmark's data, numbered from 0; one line of BenchmarkError where it fails."""
    place, rows = _rows(name, benchmark)
    if not rows:
        raise BenchmarkError(f"benchmark {name!r}: {place} has no rows")
    try:
        return [benchmark.problem_of(number, row) for number, row in enumerate(rows)]
    except BenchmarkError as fault:
        raise BenchmarkError(f"benchmark {name!r}: {place}: {fault}") from None


def _rows(name: str, benchmark: Benchmark) -> tuple[str, list[dict[str, Any]]]:
    root = os.environ.get(VARIABLE, "").rstrip("/")
    if not is_plain(root) or re.search(r"://.*@|[?#]", unquote(root)):
        raise BenchmarkError(f"${VARIABLE} must be a plain folder or URI, without credentials")
    if root:
        for ending in ENDINGS:
            uri = f"{root}/{name}.{ending}"
            content = content_of(uri)
            if content is not None:
                return uri, parse_rows(uri, content)
    reason = "it has no hub data set"
    if benchmark.hub is not None:
        try:
            return _hub_rows(benchmark.hub, benchmark.size)
        except ImportError:
            reason = "huggingface_hub is not installed (pip install 'rzero[local]')"
        except BenchmarkError:
            raise
        except Exception as error:
            reason = f"{benchmark.hub.repository} cannot be had from the hub ({type(error).__name__})"
    raise BenchmarkError(_advice(name, benchmark, root, reason))


def _advice(name: str, benchmark: Benchmark, root: str, reason: str) -> str:
    like = f", as {benchmark.hub.files} of {benchmark.hub.repository} has them" if benchmark.hub else ""
    columns = f"columns {', '.join(benchmark.columns)}{like}"
    where = f"put {name}.parquet or {name}.jsonl ({columns}) into {root}"
    if not root:
        where = f"set {VARIABLE} to a folder or URI that holds {name}.parquet or {name}.jsonl ({columns})"
    return f"benchmark {name!r} has no data: {reason}; {where}"


def content_of(uri: str) -> bytes | None:
    """The bytes of a file; None where there is none. BenchmarkError where it cannot be asked."""
    import fsspec

    try:
        with fsspec.open(os.path.expanduser(uri), "rb") as file:
            content: bytes = file.read()
            return content
    except FileNotFoundError:
        return None
    except Exception as error:
        # Each file system of fsspec fails in its own way, some with what they were given in the message.
        raise BenchmarkError(f"{uri} cannot be read ({type(error).__name__})") from None


def _hub_rows(hub: HubFiles, size: int | None) -> tuple[str, list[dict[str, Any]]]:
    """The rows of a data set, from the hub or its local cache; no code of it is run.

    BenchmarkError where they are not as many as the whole set has.
    """
    from huggingface_hub import snapshot_download

    folder = Path(
        snapshot_download(
            hub.repository, repo_type="dataset", revision=hub.revision, allow_patterns=[hub.files]
        )
    )
    place = f"{hub.repository}@{hub.revision}"
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix in (".parquet", ".jsonl", ".json")
        and fnmatch.fnmatch(file.relative_to(folder).as_posix(), hub.files)
    ]
    if not files:
        raise BenchmarkError(f"{place} has no Parquet or JSON file {hub.files}")
    rows = [row for file in files for row in parse_rows(str(file), file.read_bytes())]
    if size is not None and len(rows) != size:
        raise BenchmarkError(f"{place} has {len(rows)} rows in {hub.files}, the whole set has {size}")
    return place, rows


def parse_rows(uri: str, content: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file, of JSON lines or of a JSON array; BenchmarkError where it is none."""
    if uri.endswith(".parquet"):
        import polars as pl

        try:
            return pl.read_parquet(io.BytesIO(content)).to_dicts()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BenchmarkError(f"{uri} is not a Parquet file: {str(error).splitlines()[0]}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BenchmarkError(f"{uri} is not UTF-8 text") from None
    if text.lstrip().startswith("["):
        rows: list[dict[str, Any]] = _json(uri, text)
        if not all(isinstance(row, dict) for row in rows):
            raise BenchmarkError(f"{uri} is not an array of JSON objects")
        return rows
    rows = []
    # Not splitlines: a JSON string may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = _json(f"{uri}, line {number}", line)
            if not isinstance(row, dict):
                raise BenchmarkError(f"{uri}, line {number} is not a JSON object")
            rows.append(row)
    return rows


def _json(place: str, text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise BenchmarkError(f"{place}: {error}") from None
