"""A whole run while its store fails: in a bucket behind a broken network, on a disk that fills up."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.evolve import evolve
from flows.summary import read_steps
from infra.artifacts.runs import load_run
from infra.artifacts.verify import verify
from infra.store.store import Store, StoreError
from tests.faults.kills import manifests
from tests.support.s3_server import S3Server, fault_proxy, use_server
from tests.support.small_run import small_overrides

FAULTS = {"503": 5, "reset": 5, "lost": 4, "truncate": 4, "stall": 1}
"""Of a hundred requests so many fail so."""


def _digests(store: Store) -> dict[str, str]:
    """Digests of all artifacts of the small run, each file verified."""
    config = load_run(store, "small")
    assert config is not None
    found = {}
    for item in read_steps(store, config):
        assert item.manifest is not None
        assert item.step.location is not None
        assert verify(store, item.step.location) == []
        found[f"iteration={item.step.iteration}/{item.step.stage}"] = item.manifest.digest
    return found


def _undisturbed(small_store: Path) -> dict[str, str]:
    return {name: manifest.digest for name, manifest in manifests(small_store, "small").items()}


@pytest.fixture(scope="module")
def bucket_run(
    prefect_server: None, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URI of a store in a bucket, in which the small run was made while one request in five failed."""
    dice, lock = random.Random(11), threading.Lock()
    seen: dict[str, int] = dict.fromkeys(FAULTS, 0)

    def fault(method: str, path: str) -> str | None:
        with lock:
            (drawn,) = dice.choices([*FAULTS, None], [*FAULTS.values(), 100 - sum(FAULTS.values())])
            if drawn == "stall" and seen["stall"] == 3:
                return None
            if drawn is not None:
                seen[drawn] += 1
            return drawn

    with pytest.MonkeyPatch.context() as patch, fault_proxy() as proxy:
        patch.setenv("RZERO_CACHE", str(tmp_path_factory.mktemp("cache")))
        behind = use_server(patch, s3_server.endpoint)
        uri = f"s3://{s3_server.new_bucket(behind)}/store"
        use_server(patch, proxy.endpoint, fresh=True, read_timeout=3)
        proxy.fault = fault
        evolve(run="small", iterations=1, store=uri, overrides=small_overrides())
        assert min(seen.values()) > 0, seen
        use_server(patch, s3_server.endpoint, fresh=True)
        yield uri


def test_a_run_whose_store_fails_all_the_time_ends_as_if_it_never_had(
    bucket_run: str, small_store: Path
) -> None:
    store = Store(bucket_run)
    assert _digests(store) == _undisturbed(small_store)
    assert [name for name in store.sizes("") if name.endswith("/_damage.json")] == []


def test_with_a_fresh_prefect_and_only_the_bucket_everything_finished_is_cached(
    bucket_run: str, tmp_path: Path
) -> None:
    before = Store(bucket_run).sizes("runs")
    code = (
        "import sys; from flows.iteration import iteration; "
        "iteration(run='small', iteration=1, store=sys.argv[1])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", code, bucket_run],
        env=environment
        | {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    tasks = [line for line in output.splitlines() if "Task run" in line and "Finished in state" in line]
    made = [
        name
        for name in before
        if name.endswith("/_manifest.json") or ("/parts/" in name and name.endswith(".json"))
    ]
    assert len(tasks) == len(made) > 20, output
    assert all("Finished in state Cached" in line for line in tasks), output
    assert Store(bucket_run).sizes("runs") == before


def test_a_disk_that_fills_up_is_one_line_and_once_there_is_room_the_run_goes_on(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "store"
    shutil.copytree(small_store, copy)
    store = Store(str(copy))
    for stage in ("train_solver", "evaluate"):
        shutil.rmtree(copy / "runs/small/iteration=1" / stage)
    before = manifests(copy, "small")
    write = os.write

    def write_what_is_small(handle: int, content: bytes) -> int:
        if len(content) > 50_000:
            write(handle, content[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_what_is_small)
        with pytest.raises(StoreError, match=r"No space left on device; make room") as full:
            evolve(run="small", iterations=1, store=str(copy))
    assert "\n" not in str(full.value)
    assert manifests(copy, "small") == before
    evolve(run="small", iterations=1, store=str(copy))
    assert _digests(store) == _undisturbed(small_store)
    assert list(copy.rglob(".tmp-*")) == []
