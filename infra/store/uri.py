"""Which URIs name a store. What may hold credentials is refused, and never repeated."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from data.foreign import is_plain, is_possible
from infra.store.errors import StoreError

_BUCKET = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}|arn:aws[a-z-]*:s3[a-z-]*:[a-z0-9-]*:\d{12}:accesspoint"
)
_KINDS = "a store is a folder, s3://bucket/prefix or memory://name"


def checked_uri(uri: str) -> tuple[str, str]:
    """Of the URI of a store 'file' and its absolute path, or 's3' or 'memory' and the URI.

    StoreError, in one line, for any other: of all that fsspec knows, these alone keep a store's promises.
    """
    decoded = uri
    while (further := unquote(decoded)) != decoded:
        decoded = further
    if not is_plain(decoded):
        raise StoreError("the store cannot be opened: its URI holds a control character")
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower() if colon and "/" not in scheme else ""
    bucket = re.match(r"//([^/]*)", rest)
    if re.search(r":.*@", decoded.partition("://")[2] or decoded) or (scheme and bucket and "@" in bucket[1]):
        raise StoreError(
            "a store's URI must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not scheme and "://" in decoded:
        raise StoreError(f"the store cannot be opened: {_KINDS}, with nothing in front and nothing encoded")
    if not scheme:
        return "file", _folder(uri)
    if bucket is None:
        raise StoreError(f"the store cannot be opened: {_KINDS}; a folder with a ':' in its name is ./name")
    if scheme == "file":
        if bucket[1] not in ("", "localhost"):
            raise StoreError("the store cannot be opened: file:// is this machine; write file:///folder")
        return "file", _folder(rest.removeprefix("//").removeprefix("localhost"))
    if scheme in ("s3", "s3a"):
        if not _BUCKET.fullmatch(bucket[1]):
            raise StoreError(
                "the store cannot be opened: no bucket has such a name; write s3://bucket/prefix"
            )
        return "s3", f"{scheme}:{rest}"
    if scheme != "memory" or "::" in uri:
        raise StoreError(f"the store cannot be opened: {_KINDS}, nothing else")
    return "memory", f"memory:{rest}"


def _folder(path: str) -> str:
    folder = os.path.abspath(os.path.expanduser(path)) if path else "/"
    if folder.strip("/") == "":
        raise StoreError("the store cannot be opened: the root of the disk is no folder for a store")
    if not is_possible(folder):
        raise StoreError("the store cannot be opened: its path is longer than file systems allow")
    return folder
