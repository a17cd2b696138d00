"""Uploads in parts that were neither completed nor aborted: invisible, but they take room."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from infra.store.backend import Leftover
from infra.store.errors import StoreError

Ask = Callable[..., Any]
"""Sends a request: its method, the full name it is about, its options."""


def unfinished_uploads(ask: Ask, bucket: str, key: str, age_seconds: float) -> list[Leftover]:
    """The uploads under a folder begun at least this long ago, with the bytes of their parts."""
    uploads = []
    options: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{key.rstrip('/')}/" if key else ""}
    while True:
        page = ask("list_multipart_uploads", f"{bucket}/{key}", **options)
        for upload in page.get("Uploads") or []:
            if time.time() - upload["Initiated"].timestamp() < age_seconds:
                continue
            full, number = f"{bucket}/{upload['Key']}", upload["UploadId"]
            parts = ask("list_parts", full, Bucket=bucket, Key=upload["Key"], UploadId=number)
            size = sum(int(part["Size"]) for part in parts.get("Parts") or [])
            uploads.append(Leftover(full, size, number))
        if not page.get("IsTruncated"):
            return uploads
        options |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def abort_upload(ask: Ask, bucket: str, key: str, leftover: Leftover) -> None:
    """Abort an upload; it is no error if it is already gone."""
    try:
        ask("abort_multipart_upload", leftover.full, Bucket=bucket, Key=key, UploadId=leftover.upload)
    except StoreError:
        folder = key.rpartition("/")[0]
        if any(each.upload == leftover.upload for each in unfinished_uploads(ask, bucket, folder, 0.0)):
            raise
