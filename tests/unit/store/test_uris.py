"""Which URIs name a store, and that none that may hold a credential is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.store.store import Store, StoreError

WITH_CREDENTIALS = (
    "s3://PLANTED:SECRET@bucket",
    "s3://PLANTED:SEC/RET@bucket",
    "s3://PLANTED:S/E/CRET@bucket/x",
    "s3://PLANTED@bucket/x",
    "s3a://PLANTED:SECRET@bucket",
    "S3://PLANTED:SECRET@bucket",
    "s3:/PLANTED:SECRET@bucket",
    "s3:PLANTED:SECRET@bucket",
    "s3%3A//PLANTED:SECRET@bucket",
    "s3://PLANTED%3ASECRET%40bucket/x",
    "s3://PLANTED%253ASECRET%2540bucket/x",
    "s3%3A%2F%2FPLANTED%3ASECRET%40bucket",
    "s3://PLANTED:SECRET",
    "//PLANTED:SECRET@bucket",
    "PLANTED:SECRET@bucket",
    "memory://PLANTED:SECRET@x",
    "ftp://PLANTED:SECRET@host/x",
    "https://PLANTED:SECRET@host/x",
    "simplecache::s3://PLANTED:SECRET@bucket",
    "file://PLANTED:SECRET@host/x",
)
NO_STORES = (
    *("ftp://host/x", "zip://a.zip", "http://host/x", "https://host/x", "github://o:r@main/x", "hf://x/y"),
    *("simplecache::s3://bucket/x", "filecache::file:///tmp/x", "dir::memory://x", "memory://x::file:///tmp"),
    *(
        "zip://x::file:///tmp/a.zip",
        "file://host/x",
        "file://./x",
        "file:x",
        "file:/x",
        "s3:bucket/x",
        "gs://b",
    ),
    *(
        "s3://",
        "s3:///x",
        "s3://buc ket/x",
        "s3://bücket/x",
        "s3://..",
        "s3://b\x00/x",
        "a\x00b",
        "a\x1b[2Jb",
    ),
    *("/", "file:///", "//", "nonsense://bucket/x", "://x", "data:,x", "s3%3A//bucket", "x\u202ey", "a\nb"),
)


@pytest.mark.parametrize("uri", WITH_CREDENTIALS)
def test_a_uri_with_credentials_is_refused_without_being_shown(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as refused:
        Store(uri).check_writable()
    assert "PLANTED" not in str(refused.value)
    assert "RET" not in str(refused.value).replace("AWS_SECRET_ACCESS_KEY", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", NO_STORES)
def test_what_is_no_store_is_one_line_and_makes_no_folder(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"cannot be opened|must not hold") as refused:
        Store(uri)
    assert str(refused.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        ("a store", "{here}/a store"),
        ("./a:b", "{here}/a:b"),
        ("a@b", "{here}/a@b"),
        ("50%", "{here}/50%"),
        ("file:///tmp/x/", "/tmp/x"),
        ("file://localhost/tmp/x", "/tmp/x"),
        ("memory://name/x", "/name/x"),
    ],
)
def test_a_folder_and_memory_are_stores(
    uri: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store(uri).root == root.format(here=tmp_path)


@pytest.mark.parametrize("uri", ["s3://bucket/a/b", "s3a://bucket", "s3://my.bucket-1/me@home"])
def test_a_bucket_is_a_store(uri: str) -> None:
    assert Store(uri).root == uri.partition("://")[2]


@pytest.mark.parametrize(
    "url",
    [
        "http://PLANTED:SECRET@host",
        "http://PLANTED%3ASECRET%40host",
        "http://PLANTED:SECRET",
        "http://host/?key=PLANTED",
        "http://[PLANTED",
        "PLANTED:SECRET@host",
        "http://host\n/PLANTED",
    ],
)
def test_an_endpoint_with_credentials_is_refused_without_being_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(StoreError, match="must be plain") as refused:
        Store("s3://bucket/x")
    assert "PLANTED" not in str(refused.value)
