"""Getting at a bucket: credentials, the server's name, and what a person can mend."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import fsspec
import pytest

from infra.artifacts.artifact import read_manifest
from infra.store.lease import acquire
from infra.store.store import Store, StoreError, StoreUnavailable
from tests.support.artifact_samples import TABLE, make_model, make_table, model_files
from tests.support.s3_server import (
    ACCESS_KEY,
    PLAIN_ACCESS_KEY,
    SECRET_KEY,
    S3Server,
    fault_proxy,
    times,
    use_server,
)


def test_credentials_are_nowhere(
    s3_server: S3Server,
    behind: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    bucket = s3_server.new_bucket(behind)
    caplog.set_level(logging.DEBUG, "s3fs")
    texts = []
    with caplog.at_level(logging.DEBUG), fault_proxy() as proxy:
        use_server(monkeypatch, proxy.endpoint, fresh=True)
        store = Store(f"s3://{bucket}/store")
        ref = make_table(store)
        make_model(store, model_files(tmp_path / "model", 5000))
        acquire(store, "lease", "someone")
        monkeypatch.setenv("RZERO_STORE_PATIENCE_SECONDS", "0.1")
        for fault in ("403", "503", "reset"):
            proxy.fault = times(100, fault)
            for request in (store.check_writable, lambda: store.read("a"), lambda: store.names("a")):
                with pytest.raises(StoreError) as refused:
                    request()
                texts.append(str(refused.value))
        proxy.fault = times(0, "")
        texts += [store.uri, ref.model_dump_json(), repr(read_manifest(store, TABLE))]
        texts += [store.read(name).decode("latin-1") for name in store.sizes("")]
        use_server(monkeypatch, proxy.endpoint.replace("//", "//user:hidden-password@"), fresh=True)
        with pytest.raises(StoreError) as refused:
            Store(f"s3://{bucket}/store")
        texts.append(str(refused.value))
    texts += [f"{record.name} {record.getMessage()}" for record in caplog.records]
    assert len(texts) > 50
    for text in texts:
        assert SECRET_KEY not in text
        assert "hidden-password" not in text
    for text in texts:
        if not text.startswith(("botocore", "aiobotocore")):
            assert ACCESS_KEY not in text


@pytest.mark.parametrize("uri", ["s3://KEY:SECRET@bucket/x", "s3://KEY@bucket/x"])
def test_a_uri_with_credentials_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(StoreError, match="must not hold credentials") as refused:
        Store(uri)
    assert "KEY" not in str(refused.value).replace("AWS_ACCESS_KEY_ID", "").replace(
        "AWS_SECRET_ACCESS_KEY", ""
    )


def test_what_a_person_can_mend_is_one_line_that_names_what_to_set(
    s3_server: S3Server, behind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.new_bucket(behind)
    endpoint = s3_server.endpoint
    for changes, place, expected in (
        ({}, "no-such-bucket", "there is no bucket 'no-such-bucket'"),
        ({"AWS_ACCESS_KEY_ID": "UNKNOWN"}, bucket, "refuses the credentials (InvalidAccessKeyId); set AWS_"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, bucket, "refuses the credentials (SignatureDoesNotMatch)"),
        ({"AWS_ACCESS_KEY_ID": ""}, bucket, "no complete credentials were found; set AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, bucket, "http://127.0.0.1:9 does not answer"),
        ({"AWS_ENDPOINT_URL": "http://no.invalid"}, bucket, "http://no.invalid does not answer"),
    ):
        use_server(monkeypatch, endpoint, fresh=True)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", PLAIN_ACCESS_KEY)
        monkeypatch.setenv("RZERO_STORE_PATIENCE_SECONDS", "0.2")
        for name, value in changes.items():
            monkeypatch.setenv(name, value)
        if changes == {"AWS_ACCESS_KEY_ID": ""}:
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StoreError) as refused:
            Store(f"s3://{place}/store").read("a")
        assert expected in str(refused.value)
        assert "\n" not in str(refused.value)
        assert isinstance(refused.value, StoreUnavailable) == ("does not answer" in expected)


def test_a_server_without_conditional_writes_is_refused(
    s3_server: S3Server, behind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.new_bucket(behind)
    with fault_proxy() as proxy:
        use_server(monkeypatch, proxy.endpoint)
        proxy.fault = times(100, "unconditional")
        with pytest.raises(StoreError, match="does not honour conditional writes"):
            Store(f"s3://{bucket}/store").check_writable()


def test_the_server_may_be_named_in_the_configuration_of_fsspec(
    s3_server: S3Server, plain: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": s3_server.endpoint})
    store = Store(plain.uri)
    store.put("a", b"1")
    assert plain.read("a") == b"1"
