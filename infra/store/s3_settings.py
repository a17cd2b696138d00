"""How a bucket is reached and read: its server, and what travels in one request.

Credentials come from where botocore looks for them (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_PROFILE`, a node's role) or from a block of Prefect's (`s3_block.py`), the server from
`AWS_ENDPOINT_URL` or fsspec's configuration.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import fsspec

from data.foreign import ENDPOINT
from infra.retries import Retries
from infra.store.errors import StoreError
from infra.store.s3_block import take_credentials

WORKERS = 6


@dataclass(frozen=True)
class S3Settings:
    """How much travels in one request, and how long to wait for its answer.

    A request is given up after `request_seconds` and the time its bytes take at the slowest speed, even if
    they still trickle. Without `retries`, the patience depends on whether the server has answered before.
    """

    part_bytes: int = 8 * 1024 * 1024
    names_per_page: int = 1000
    deletes_per_request: int = 1000
    request_seconds: float = 30.0
    slowest_bytes_per_second: float = 64 * 1024
    retries: Retries | None = None

    def timeout_seconds(self, count: int) -> float:
        """The limit of a request that moves this many bytes."""
        return self.request_seconds + count / self.slowest_bytes_per_second


def open_s3(uri: str) -> tuple[Any, str]:
    """The file system of an `s3://` URI and the path in it, set up for `S3Backend`.

    Listings are not cached, so files made by other processes are seen at once. s3fs and botocore send each
    request once; `S3Backend` does the retries.
    """
    take_credentials()
    given = dict(fsspec.config.conf.get("s3", {}))
    config: dict[str, Any] = {"max_pool_connections": 2 * WORKERS}
    config |= dict(given.get("config_kwargs") or {})
    config["retries"] = {"total_max_attempts": 1}
    endpoint = endpoint_url(given)
    if endpoint and not ENDPOINT.fullmatch(endpoint):
        raise StoreError(
            "AWS_ENDPOINT_URL must be plain, like http://host:9000, and must not hold credentials: set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if endpoint and not (urlsplit(endpoint).hostname or "").endswith("amazonaws.com"):
        config.setdefault("s3", {"addressing_style": "path"})
    options = {"endpoint_url": endpoint} if endpoint else {}
    fs, root = fsspec.core.url_to_fs(uri, use_listings_cache=False, config_kwargs=config, **options)
    fs.retries = 1
    return fs, root


def endpoint_url(given: dict[str, Any] | None = None) -> str | None:
    """The configured server; None for AWS itself."""
    given = dict(fsspec.config.conf.get("s3", {})) if given is None else given
    return (
        given.get("endpoint_url")
        or dict(given.get("client_kwargs") or {}).get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
