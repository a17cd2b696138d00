"""Problems of benchmarks, frozen in the store when a run begins.

`<store>/benchmarks/<name>/<sha256>.parquet`, the name without settings: every worker reads exactly the
problems that the run began with, at any later time and without a hub. The digest is part of the run's
configuration, and so of every key that depends on the data.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from data import benchmarks
from data.benchmark import BenchmarkError, Problem
from data.config import RunConfig
from data.schemas import PROBLEMS
from infra.artifacts.artifact import canonical_json, sha256
from infra.store.store import Store, StoreError
from infra.store.tables import parquet_bytes, parquet_table, table_of


def digest_of(problems: Sequence[Problem]) -> str:
    """sha256 of the problems' content, whatever file they came from."""
    return sha256(canonical_json([asdict(problem) for problem in problems]).encode())


def freeze(store: Store, name: str, problems: Sequence[Problem]) -> str:
    """Put the problems into the store unless they are there; their digest."""
    digest = digest_of(problems)
    rows = [asdict(problem) | {"accepted": list(problem.accepted)} for problem in problems]
    store.create(_path(name, digest), parquet_bytes(table_of(rows, PROBLEMS)))
    return digest


def is_frozen(store: Store, name: str, digest: str) -> bool:
    """Whether the store holds these problems."""
    return store.exists(_path(name, digest))


def problems_of(store: Store, config: RunConfig, name: str) -> list[Problem]:
    """The problems of a benchmark that the run began with; generated ones are made anew.

    StoreError if the frozen file is damaged, or if it is gone and the source has different data now.
    """
    digest = config.evaluation.data.get(name)
    if digest is None:
        return benchmarks.load(name, config.base_model)
    frozen = _frozen(store.uri, name, digest)
    if frozen is None:
        path = _path(name, digest)
        problems = benchmarks.load(name, config.base_model)
        if digest_of(problems) != digest:
            raise StoreError(
                f"{store.uri_of(path)} is gone, and benchmark {name!r} has different data now: bring back "
                "the data that the run began with"
            )
        freeze(store, name, problems)
        _frozen.cache_clear()
        return problems
    return list(frozen)


@functools.lru_cache(maxsize=32)
def _frozen(uri: str, name: str, digest: str) -> tuple[Problem, ...] | None:
    """The frozen problems, read once per process; None if there are none."""
    store, path = Store(uri), _path(name, digest)
    content = store.get(path)
    if content is None:
        return None
    problems = _parse(content)
    if problems is None or digest_of(problems) != digest:
        raise StoreError(
            f"{store.uri_of(path)} is damaged: remove it, and start the same command again with the data of "
            f"benchmark {name!r} at hand"
        )
    return tuple(problems)


def pinned_data(store: Store, config: RunConfig, known: Mapping[str, str]) -> dict[str, list[Problem]]:
    """The problems to freeze, by benchmark: those from files whose digest is not in `known` already.

    BenchmarkError, in one line, for an unknown benchmark, missing or misshapen data, or data whose digest is
    not the configured one.
    """
    pinned = {}
    for name in dict.fromkeys(config.evaluation.benchmarks):
        benchmark = benchmarks.get(name)
        benchmark.check(config.evaluation)
        if name in known and is_frozen(store, name, known[name]):
            continue
        problems = benchmarks.load(name, config.base_model)
        if benchmark.generate is not None:
            continue
        wanted = config.evaluation.data.get(name)
        if wanted is not None and wanted != digest_of(problems):
            raise BenchmarkError(
                f"the data of {name!r} have sha256 {digest_of(problems)}, evaluation.data wants {wanted}"
            )
        pinned[name] = problems
    return pinned


def _path(name: str, digest: str) -> str:
    folder = name.partition("?")[0].replace(":", ".")
    return f"benchmarks/{folder}/{digest}.parquet"


def _parse(content: bytes) -> list[Problem] | None:
    try:
        rows: list[dict[str, Any]] = parquet_table(content).to_pylist()
        return [Problem(**(row | {"accepted": tuple(row["accepted"])})) for row in rows]
    except (pa.ArrowException, OSError, TypeError, KeyError):
        return None
