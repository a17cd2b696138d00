"""Credentials of a bucket from a block of a real Prefect server, whose types the server knows by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentCreate

from infra.store import s3_block
from infra.store.s3_block import BLOCK, environment_of
from infra.store.store import Store, StoreError
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, use_server


def _save(kind: str, name: str, data: dict[str, Any]) -> None:
    with get_client(sync_client=True) as client:
        block_type = client.read_block_type_by_slug(kind)
        schema = client.get_most_recent_block_schema_for_block_type(block_type.id)
        assert schema is not None
        client.create_block_document(
            BlockDocumentCreate(name=name, data=data, block_type_id=block_type.id, block_schema_id=schema.id)
        )


@pytest.fixture
def nobody(behind: Any, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket, in an environment that knows neither its server nor a key; put back afterwards."""
    bucket = s3_server.new_bucket(behind)
    before = dict(os.environ)
    use_server(monkeypatch, "http://127.0.0.1:9", fresh=True)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SOMEONE-ELSE")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-someone-else")
    monkeypatch.setenv("RZERO_STORE_PATIENCE_SECONDS", "0.2")
    s3_block._read.cache_clear()
    yield f"s3://{bucket}/store"
    os.environ.clear()
    os.environ.update(before)
    s3_block._read.cache_clear()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("aws-credentials", {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}),
        ("minio-credentials", {"minio_root_user": ACCESS_KEY, "minio_root_password": SECRET_KEY}),
    ],
)
def test_a_store_opens_with_the_keys_and_the_server_of_a_block(
    prefect_server: None,
    nobody: str,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    data: dict[str, Any],
) -> None:
    with pytest.raises(StoreError, match="does not answer"):
        Store(nobody).read("a")
    _save(kind, "bucket", {**data, "aws_client_parameters": {"endpoint_url": s3_server.endpoint}})
    monkeypatch.setenv(BLOCK, f"{kind}/bucket")
    store = Store(nobody)
    store.put("a", b"content")
    assert store.read("a") == b"content"
    assert "AWS_SESSION_TOKEN" not in os.environ


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (
            "bucket",
            "must be a type and a name, like aws-credentials/NAME or minio-credentials/NAME, not 'bucket'",
        ),
        ("secret/bucket", "must be a type and a name"),
        ("aws-credentials/", "must be a type and a name"),
        ("aws-credentials/not-there", "has no block aws-credentials/not-there"),
    ],
)
def test_a_block_that_is_none_is_refused_in_one_line(
    prefect_server: None, nobody: str, monkeypatch: pytest.MonkeyPatch, block: str, told: str
) -> None:
    monkeypatch.setenv(BLOCK, block)
    with pytest.raises(StoreError, match=told) as refused:
        Store(nobody)
    assert "\n" not in str(refused.value)


def test_a_block_without_keys_leaves_them_to_the_node() -> None:
    assert environment_of("aws-credentials", {"region_name": "eu-west-1", "aws_access_key_id": None}) == {
        "AWS_DEFAULT_REGION": "eu-west-1"
    }
