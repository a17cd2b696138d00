"""Problems of benchmarks, frozen in the store when a run begins.

`<store>/benchmarks/<name>/<sha256>.parquet`: every worker and every later day reads the very problems that
the run began with, without a hub. The digest stands in the run's configuration, so it is part of every key
that depends on the data.
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
    """sha256 of the problems' content, whatever the file they came from."""
    return sha256(canonical_json([asdict(problem) for problem in problems]).encode())


def freeze(store: Store, name: str, problems: Sequence[Problem]) -> str:
    """Put the problems into the store, unless they are there; their digest."""
    digest = digest_of(problems)
    rows = [asdict(problem) | {"accepted": list(problem.accepted)} for problem in problems]
    store.create(_path(name, digest), parquet_bytes(table_of(rows, PROBLEMS)))
    return digest


def is_frozen(store: Store, name: str, digest: str) -> bool:
    """Whether the store holds these problems."""
    return store.exists(_path(name, digest))


def problems_of(store: Store, config: RunConfig, name: str) -> list[Problem]:
    """The problems of a benchmark as the run began with them.

    Generated ones are made anew. StoreError where the frozen file is not what the configuration says, and
    where it is gone and the source has other data now.
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
                f"{store.uri_of(path)} is gone, and the data of benchmark {name!r} are others now: bring "
                "back the data that the run began with"
            )
        freeze(store, name, problems)
        _frozen.cache_clear()
        return problems
    return list(frozen)


@functools.lru_cache(maxsize=32)
def _frozen(uri: str, name: str, digest: str) -> tuple[Problem, ...] | None:
    """The frozen problems, read once a process; None where there are none."""
    store, path = Store(uri), _path(name, digest)
    content = store.get(path)
    if content is None:
        return None
    found = _parse(content)
    if found is None or digest_of(found) != digest:
        raise StoreError(
            f"{store.uri_of(path)} is damaged: remove it, and start the same command again with the data of "
            f"benchmark {name!r} at hand"
        )
    return tuple(found)


def pinned_data(store: Store, config: RunConfig, known: Mapping[str, str]) -> dict[str, list[Problem]]:
    """The problems to freeze, by benchmark: those from files that `known` digests do not cover already.

    BenchmarkError, in one line, for an unknown benchmark, missing data, data of another shape, or a digest in
    the configuration that the data do not have.
    """
    found = {}
    for name in dict.fromkeys(config.evaluation.benchmarks):
        benchmark = benchmarks.get(name)
        benchmark.modes(config.evaluation)
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
        found[name] = problems
    return found


def _path(name: str, digest: str) -> str:
    return f"benchmarks/{name}/{digest}.parquet"


def _parse(content: bytes) -> list[Problem] | None:
    try:
        rows: list[dict[str, Any]] = parquet_table(content).to_pylist()
        return [Problem(**(row | {"accepted": tuple(row["accepted"])})) for row in rows]
    except (pa.ArrowException, OSError, TypeError, KeyError):
        return None
