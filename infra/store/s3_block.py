"""Credentials of a bucket from a block of the Prefect server, for those who keep them there.

`RZERO_S3_BLOCK=aws-credentials/NAME` or `minio-credentials/NAME` names one, as Prefect does. A server knows
both types by itself, and the package prefect-aws is not needed. What the block holds counts as if it stood
in the environment, and replaces what stands there: it is kept out of messages like that (`infra/keys.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from data.foreign import one_line
from infra.store.errors import StoreError

BLOCK = "RZERO_S3_BLOCK"
_VARIABLES = {
    "aws-credentials": {
        "AWS_ACCESS_KEY_ID": "aws_access_key_id",
        "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
        "AWS_SESSION_TOKEN": "aws_session_token",
        "AWS_PROFILE": "profile_name",
        "AWS_DEFAULT_REGION": "region_name",
    },
    "minio-credentials": {
        "AWS_ACCESS_KEY_ID": "minio_root_user",
        "AWS_SECRET_ACCESS_KEY": "minio_root_password",
        "AWS_DEFAULT_REGION": "region_name",
    },
}
_WHO_ASKS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"}


def take_credentials() -> None:
    """Put what the block of `$RZERO_S3_BLOCK` holds into the environment; StoreError where that fails."""
    if name := os.environ.get(BLOCK, "").strip():
        variables = _read(name)
        os.environ.update(variables)
        for variable in _WHO_ASKS - variables.keys():
            os.environ.pop(variable, None)


def environment_of(kind: str, data: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a block's data stand for."""
    given = {variable: data.get(field) for variable, field in _VARIABLES[kind].items()}
    client = data.get("aws_client_parameters") or {}
    given["AWS_ENDPOINT_URL"] = client.get("endpoint_url")
    return {variable: str(value).strip() for variable, value in given.items() if value}


@cache
def _read(block: str) -> dict[str, str]:
    kind, _, name = block.partition("/")
    if kind not in _VARIABLES or not name:
        raise StoreError(
            f"{BLOCK} must be a type and a name, like aws-credentials/NAME or minio-credentials/NAME, "
            f"not {block!r}"
        )
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL

    if not (server := PREFECT_API_URL.value()):
        raise StoreError(f"{BLOCK} names a block of a Prefect server: set PREFECT_API_URL to that server")
    try:
        with get_client(sync_client=True) as client:
            return environment_of(kind, client.read_block_document_by_name(name, kind).data)
    except ObjectNotFound:
        raise StoreError(f"{BLOCK}: the Prefect server {server} has no block {block}") from None
    except httpx.HTTPError as error:
        raise StoreError(f"{BLOCK}: {server} does not give {block}: {one_line(str(error))}") from None
