"""A store that answers 503, resets, stalls, truncates or lies, a full disk, and kill -9 while writing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.artifacts.artifact import find, read_table
from infra.models.folder import model_folder
from infra.retries import Retries
from infra.store.s3_settings import S3Settings
from infra.store.store import DigestMismatch, Store, StoreError, StoreUnavailable, file_sha256
from tests.support.artifact_samples import TABLE, curriculum_rows, make_model, make_table, model_files
from tests.support.s3_server import SMALLEST_PART, FaultProxy, S3Server, fault_proxy, times, use_server

SEVERAL_PARTS = 3 * SMALLEST_PART + 12345
QUICK = S3Settings(SMALLEST_PART, retries=Retries(10.0, first_delay_seconds=0.01, longest_delay_seconds=0.05))


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy() as proxy:
        yield proxy


@pytest.fixture
def behind(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Any:
    """The environment set for the proxy; a file system that goes past it. Stalls are not waited for long."""
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    patience = 1 if "stall" in request.node.name else 30
    return use_server(monkeypatch, proxy.endpoint, read_timeout=patience)


@pytest.fixture
def store(s3_server: S3Server, behind: Any, proxy: FaultProxy) -> Store:
    store = Store(f"s3://{s3_server.new_bucket(behind)}/store", QUICK)
    store.put("ready", b"yes")
    proxy.requests.clear()
    return store


@pytest.mark.parametrize(
    ("fault", "count"), [("503", 4), ("reset", 4), ("lost", 3), ("truncate", 3), ("stall", 1)]
)
def test_what_passes_is_tried_again_and_the_result_is_right(
    store: Store, proxy: FaultProxy, behind: Any, fault: str, count: int
) -> None:
    for request in range(7):
        proxy.fault = times(count if fault != "stall" or request in (1, 4) else 0, fault)
        match request:
            case 0:
                store.put("a/1", b"one")
            case 1:
                assert store.read("a/1") == b"one"
            case 2:
                assert store.size("a/1") == 3
            case 3:
                assert store.names("a") == ["1"]
            case 4:
                assert store.create("a/2", fault.encode())
            case 5:
                assert store.sizes("a") == {"1": 3, "2": len(fault)}
            case 6:
                store.remove("a/1")
    proxy.fault = times(0, "")
    assert behind.cat_file(store.full("a/2")) == fault.encode()
    assert store.sizes("a") == {"2": len(fault)}


def test_a_create_whose_answer_was_lost_is_this_calls_own(store: Store, proxy: FaultProxy) -> None:
    proxy.fault = times(1, "lost", "PUT")
    assert store.create("m.json", b"mine")
    proxy.fault = times(1, "lost", "PUT")
    assert not store.create("m.json", b"another's")
    assert store.read("m.json") == b"mine"


@pytest.mark.parametrize("fault", ["503", "reset", "lost", "stall"])
def test_a_model_is_uploaded_part_by_part_through_faults(
    store: Store, proxy: FaultProxy, behind: Any, tmp_path: Path, fault: str
) -> None:
    weights = model_files(tmp_path / "model", SEVERAL_PARTS) / "model.safetensors"
    plans = [times(1, fault, "PUT"), times(1, fault, "POST", "uploadId")]
    if fault != "stall":
        plans.append(times(2, fault, "POST", "?uploads"))
    proxy.fault = lambda method, path: next((f for plan in plans if (f := plan(method, path))), None)
    written = store.put_file("w", weights)
    proxy.fault = times(0, "")
    assert store.sha256("w") == written.sha256 == file_sha256(weights)
    parts = [path for method, path in proxy.requests if method == "PUT" and "partNumber" in path]
    assert len(parts) == 4 + 1 or (fault == "stall" and len(parts) > 5)


@pytest.mark.parametrize("fault", ["503", "reset", "truncate", "stall"])
def test_a_model_is_downloaded_through_faults_without_beginning_anew(
    store: Store, proxy: FaultProxy, tmp_path: Path, fault: str
) -> None:
    weights = model_files(tmp_path / "model", SEVERAL_PARTS) / "model.safetensors"
    written = store.put_file("w", weights)
    proxy.requests.clear()
    proxy.fault = times(2, fault, "GET")
    store.download("w", tmp_path / "copy", written.sha256)
    pieces = [path for method, path in proxy.requests if method == "GET"]
    assert len(pieces) == 4 + 2 or (fault == "stall" and len(pieces) > 6)


def test_a_byte_that_changes_on_the_way_is_noticed_and_fetched_again(
    store: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    ref = make_model(store, model_files(tmp_path / "model", 5000))
    proxy.fault = times(1, "flip", "GET", "model.safetensors")
    folder = model_folder(store, ref)
    assert file_sha256(folder / "model.safetensors") == file_sha256(tmp_path / "model/model.safetensors")


def test_bytes_that_always_change_on_the_way_never_become_a_file(
    store: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    store.put("w", b"content")
    digest = store.sha256("w")
    proxy.fault = times(100, "flip", "GET")
    with pytest.raises(DigestMismatch):
        store.download("w", tmp_path / "copy", digest)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("fault", ["503", "reset", "truncate", "stall"])
def test_a_store_that_stays_away_is_unavailable_within_a_bound(
    store: Store, proxy: FaultProxy, fault: str
) -> None:
    store = Store(store.uri, S3Settings(retries=Retries(0.1, first_delay_seconds=0.01)))
    proxy.fault = times(10_000, fault)
    requests = [lambda: store.read("ready"), lambda: store.names("")]
    if fault != "truncate":
        requests += [lambda: store.create("a", b"1"), lambda: store.put("a", b"1"), lambda: store.size("a")]
    for request in requests:
        with pytest.raises(StoreUnavailable) as unavailable:
            request()
        assert getattr(unavailable.value, "retryable", False)
        assert "\n" not in str(unavailable.value)
        assert proxy.endpoint in str(unavailable.value)
    assert len(proxy.requests) < 60


def test_a_store_that_is_away_is_never_taken_for_an_empty_one(store: Store, proxy: FaultProxy) -> None:
    make_table(store)
    proxy.fault = times(10_000, "403")
    for request in (lambda: find(store, TABLE), lambda: store.exists("ready"), lambda: store.names("runs")):
        with pytest.raises(StoreError, match="denies access"):
            request()


def test_what_is_denied_is_asked_once(store: Store, proxy: FaultProxy) -> None:
    proxy.fault = times(10_000, "403")
    with pytest.raises(StoreError, match="denies access"):
        store.put("a", b"1")
    assert len(proxy.requests) == 1


def test_a_server_that_does_not_even_read_is_given_up(store: Store, proxy: FaultProxy) -> None:
    store = Store(store.uri, replace(QUICK, request_seconds=2.0, slowest_bytes_per_second=2**40))
    proxy.fault = times(1, "deaf", "PUT")
    content = os.urandom(3 * SMALLEST_PART)
    store.put("a", content)
    assert store.read("a") == content
    assert len([method for method, _ in proxy.requests if method == "PUT"]) >= 2


def test_faults_while_an_artifact_is_made_leave_it_whole(store: Store, proxy: FaultProxy) -> None:
    number = [0]

    def every_third(method: str, path: str) -> str | None:
        number[0] += 1
        return ("503", "reset", "lost")[number[0] // 3 % 3] if number[0] % 3 == 0 else None

    proxy.fault = every_third
    ref = make_table(store)
    assert find(store, TABLE) == ref
    assert read_table(store, ref).to_pylist() == curriculum_rows(5)


@pytest.mark.s3
def test_what_was_acknowledged_outlasts_the_death_of_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = S3Server()
    server.start()
    try:
        use_server(monkeypatch, server.endpoint)
        store = Store(f"s3://{server.new_bucket(Store('s3://any').fs)}/store")
        ref = make_table(store)
        server.kill()
        found: list[Any] = []
        asking = threading.Thread(target=lambda: found.append(find(store, TABLE)))
        asking.start()
        server.start()
        asking.join()
        assert found == [ref]
        assert read_table(store, ref).to_pylist() == curriculum_rows(5)
    finally:
        server.kill()
        shutil.rmtree(server.folder)


def _in_a_process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("how", ["put", "put_file", "create", "download"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path, how: str) -> None:
    (tmp_path / "large").write_bytes(bytes(200_000))
    Store(str(tmp_path / "store")).put("a", b"before")
    Store(str(tmp_path / "store")).put_file("large", tmp_path / "large")
    done = _in_a_process(
        """
        import resource, sys
        from pathlib import Path
        from infra.store.store import Store, StoreError
        root, how = Path(sys.argv[1]), sys.argv[2]
        store = Store(str(root / "store"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            match how:
                case "put": store.put("a", bytes(200_000))
                case "put_file": store.put_file("a", root / "large")
                case "create": store.create("b", bytes(200_000))
                case "download": store.download("large", root / "copy" / "large")
        except StoreError as error:
            print(error)
        """,
        str(tmp_path),
        how,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "cannot be written: File too large" in done.stdout
    assert "make room" in done.stdout
    assert sorted(os.listdir(tmp_path / "store")) == ["a", "large"]
    assert (tmp_path / "store" / "a").read_bytes() == b"before"
    assert not (tmp_path / "copy" / "large").exists()


@pytest.mark.parametrize("call", ["os.write", "os.fsync", "os.replace", "os.link"])
@pytest.mark.parametrize("how", ["put", "put_file", "create"])
def test_kill_while_writing_leaves_the_old_or_nothing(tmp_path: Path, how: str, call: str) -> None:
    (tmp_path / "new").write_bytes(b"new")
    store = Store(str(tmp_path / "store"))
    store.put("a", b"old")
    done = _in_a_process(
        """
        import os, signal, sys
        from pathlib import Path
        from infra.store.store import Store
        root, how, call = Path(sys.argv[1]), sys.argv[2], sys.argv[3].removeprefix("os.")
        real = getattr(os, call)
        setattr(os, call, lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
        store = Store(str(root / "store"))
        match how:
            case "put": store.put("a", b"new")
            case "put_file": store.put_file("a", root / "new")
            case "create": store.create("b", b"new")
        """,
        str(tmp_path),
        how,
        call,
    )
    reached = call in ("os.write", "os.fsync") or (call == "os.link") == (how == "create")
    assert done.returncode == (-signal.SIGKILL if reached else 0), done.stderr
    assert store.read("a") == (b"old" if reached or how == "create" else b"new")
    assert store.exists("b") == (how == "create" and not reached)
    assert set(store.names("")) <= {"a", "b"}
    assert set(store.sizes("")) <= {"a", "b"}


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_half_an_artifact_is_invisible_and_the_next_one_is_whole(tmp_path: Path, protocol: str) -> None:
    store = Store(str(tmp_path) if protocol == "file" else f"memory://{uuid.uuid4().hex}")
    store.put(f"{TABLE.path}/part-00000.parquet", b"half of")
    assert find(store, TABLE) is None
    ref = make_table(store)
    assert find(store, TABLE) == ref


def test_a_file_system_without_hard_links_still_has_one_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **options: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    store = Store(str(tmp_path))
    assert store.create("m.json", b"first")
    assert not store.create("m.json", b"second")
    assert store.read("m.json") == b"first"
    assert os.listdir(tmp_path) == ["m.json"]
