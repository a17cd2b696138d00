"""A store in an S3 bucket, through s3fs: one layer of retries, conditional creates, parallel transfers.

Credentials come from where botocore looks for them (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_PROFILE`, a node's role), the server from `AWS_ENDPOINT_URL` or fsspec's own configuration. Neither
ever stands in a URI or a message.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import fsspec
from fsspec.exceptions import FSTimeoutError

from infra.store.backend import FileDigest, Leftover, Progress
from infra.store.errors import Retries, StoreError, patience_seconds
from infra.store.s3_errors import explain, is_absent, is_refused_condition, is_transient, server_code
from infra.store.s3_uploads import abort_upload, unfinished_uploads

PART_BYTES = 8 * 1024 * 1024
WORKERS = 6
MOST_PARTS = 10_000
SLOWEST_BYTES_PER_SECOND = 64 * 1024
REQUEST_SECONDS = 30.0
_FIRST_CONTACT_SECONDS = 5.0
_DELETED_AT_ONCE = 1000
_MARK = "rzero-call"

T = TypeVar("T")
log = logging.getLogger("rzero.store")
_reached: set[tuple[str, str]] = set()


def open_s3(uri: str) -> tuple[Any, str]:
    """The file system of an `s3://` URI and the path in it, set up as `S3Backend` needs it.

    Listings are not cached: a file that another process made is seen at once. s3fs and botocore send each
    request once: trying again is this module's task.
    """
    given = dict(fsspec.config.conf.get("s3", {}))
    config: dict[str, Any] = {"max_pool_connections": 2 * WORKERS}
    config |= dict(given.get("config_kwargs") or {})
    config["retries"] = {"total_max_attempts": 1}
    endpoint = endpoint_url(given)
    if endpoint and urlsplit(endpoint).username is not None:
        raise StoreError(
            "AWS_ENDPOINT_URL must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if endpoint and not (urlsplit(endpoint).hostname or "").endswith("amazonaws.com"):
        config.setdefault("s3", {"addressing_style": "path"})
    options = {"endpoint_url": endpoint} if endpoint else {}
    fs, root = fsspec.core.url_to_fs(uri, use_listings_cache=False, config_kwargs=config, **options)
    fs.retries = 1
    return fs, root


def endpoint_url(given: dict[str, Any] | None = None) -> str | None:
    """The server that was named; None for AWS itself."""
    given = dict(fsspec.config.conf.get("s3", {})) if given is None else given
    return (
        given.get("endpoint_url")
        or dict(given.get("client_kwargs") or {}).get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )


class S3Backend:
    """Objects of a bucket. Errors that pass are tried again; the others are StoreErrors of one line."""

    def __init__(self, fs: Any, retries: Retries | None = None) -> None:
        self._fs = fs
        self._retries = retries

    def size(self, full: str) -> int | None:
        """Bytes of an object."""
        head = self._head(full)
        return None if head is None else int(head["ContentLength"])

    def read(self, full: str) -> bytes | None:
        """The bytes of an object; a large one in parallel."""
        head = self._range(full, 0, PART_BYTES)
        if head is None or len(head) < PART_BYTES:
            return head
        size = self.size(full)
        if size is None:
            return None
        content = bytearray(size)
        content[:PART_BYTES] = head
        for start, piece in self._pieces(full, PART_BYTES, size):
            content[start : start + len(piece)] = piece
        return bytes(content)

    def put(self, full: str, content: bytes) -> None:
        """Write an object over an earlier one."""
        self._ask_object("put_object", full, Body=content)

    def put_file(self, full: str, source: Path, progress: Progress | None) -> FileDigest:
        """Upload a local file, a large one in parts; the digest is of what was sent."""
        size = source.stat().st_size
        if size > PART_BYTES:
            return self._upload(full, source, size, progress)
        content = source.read_bytes()
        self.put(full, content)
        if progress:
            progress(len(content), len(content))
        return FileDigest(hashlib.sha256(content).hexdigest(), len(content))

    def create(self, full: str, content: bytes) -> bool:
        """Write an object if there is none.

        A request whose answer was lost is sent again, here or in the layers below, and may then be refused
        because of itself. So the object carries a mark of this call: with it there, this call was the one.
        """
        bucket, key, _ = self._fs.split_path(full)
        options = {"Bucket": bucket, "Key": key, "Body": content, "Metadata": {_MARK: uuid.uuid4().hex}}

        def request(_: int) -> bool:
            try:
                self._send("put_object", len(content), IfNoneMatch="*", **options)
            except OSError as error:
                if is_refused_condition(error):
                    return False
                raise
            return True

        if self._try(request, full):
            return True
        head = self._head(full)
        return head is not None and head.get("Metadata") == options["Metadata"]

    def download(self, full: str, target: Path, progress: Progress | None) -> bool:
        """Copy an object out, in parallel pieces, each tried again by itself."""
        size = self.size(full)
        if size is None:
            return False
        done = 0
        with target.open("wb") as file:
            for start, piece in self._pieces(full, 0, size):
                file.seek(start)
                file.write(piece)
                done += len(piece)
                if progress:
                    progress(done, size)
        return True

    def names(self, full: str) -> list[str]:
        """Names right under a folder. Some servers go on naming an emptied folder for a while."""
        bucket, key, _ = self._fs.split_path(full)
        prefix = key.rstrip("/") + "/" if key else ""
        found = []
        for page in self._pages(full, bucket, Prefix=prefix, Delimiter="/"):
            entries = [entry["Key"] for entry in page.get("Contents", [])]
            entries += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            found += [entry.removeprefix(prefix).rstrip("/") for entry in entries if entry != prefix]
        return found

    def sizes(self, full: str) -> dict[str, int]:
        """Bytes of all objects under a folder."""
        bucket, key, _ = self._fs.split_path(full)
        prefix = key.rstrip("/") + "/" if key else ""
        return {
            entry["Key"].removeprefix(prefix): int(entry["Size"])
            for page in self._pages(full, bucket, Prefix=prefix)
            for entry in page.get("Contents", [])
            if not entry["Key"].endswith("/")
        }

    def remove(self, full: str) -> None:
        """Remove an object, and all objects under it; in a versioned bucket their versions stay."""
        bucket, key, _ = self._fs.split_path(full)
        keys = [key, *(f"{key}/{name}" for name in self.sizes(full))]
        for begin in range(0, len(keys), _DELETED_AT_ONCE):
            objects = [{"Key": each} for each in keys[begin : begin + _DELETED_AT_ONCE]]
            answer = self._ask("delete_objects", full, Bucket=bucket, Delete={"Objects": objects})
            refused = [each for each in answer.get("Errors", []) if each.get("Code") != "NoSuchKey"]
            if refused:
                first = refused[0]
                raise StoreError(
                    f"s3://{bucket}/{first.get('Key')} cannot be removed: "
                    f"{first.get('Message') or first.get('Code')}"
                )

    def move(self, source: str, target: str) -> bool:
        """Copy an object within the server, then remove the old name."""
        size = self.size(source)
        if size is None:
            return False
        seconds = _limit_seconds(size)
        self._try(lambda _: self._fs.cp_file(source, target, timeout=seconds), target)
        self._ask_object("delete_object", source)
        return True

    def leftovers(self, full: str, age_seconds: float) -> list[Leftover]:
        """Uploads that were begun so long ago and neither completed nor aborted."""
        bucket, key, _ = self._fs.split_path(full)
        return unfinished_uploads(self._ask, bucket, key, age_seconds)

    def drop(self, leftover: Leftover) -> None:
        """Abort an upload."""
        bucket, key, _ = self._fs.split_path(leftover.full)
        abort_upload(self._ask, bucket, key, leftover)

    def _head(self, full: str) -> dict[str, Any] | None:
        bucket, key, _ = self._fs.split_path(full)

        def request(_: int) -> dict[str, Any] | None:
            try:
                return dict(self._send("head_object", 0, Bucket=bucket, Key=key))
            except OSError as error:
                if is_absent(error):
                    return None
                raise

        return self._try(request, full)

    def _upload(self, full: str, source: Path, size: int, progress: Progress | None) -> FileDigest:
        upload = {"UploadId": self._ask_object("create_multipart_upload", full)["UploadId"]}
        try:
            etags, digest = self._send_parts(full, source, size, upload, progress)
            parts = {"Parts": [{"PartNumber": n, "ETag": etags[n]} for n in sorted(etags)]}
            self._complete(full, upload, parts, digest.bytes)
        except BaseException:
            self._abort(full, upload)
            raise
        return digest

    def _send_parts(
        self, full: str, source: Path, size: int, upload: dict[str, str], progress: Progress | None
    ) -> tuple[dict[int, str], FileDigest]:
        """Read in order, send in parallel; no more parts in memory than there are workers."""
        part_bytes = max(PART_BYTES, math.ceil(size / MOST_PARTS))
        etags: dict[int, str] = {}
        sha256, read, sent = hashlib.sha256(), 0, 0
        pending: dict[Future[Any], tuple[int, int]] = {}

        def collect(most: int) -> None:
            nonlocal sent
            while len(pending) > most:
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    number, count = pending.pop(future)
                    etags[number] = future.result()["ETag"]
                    sent += count
                    if progress:
                        progress(sent, size)

        with (
            ThreadPoolExecutor(WORKERS, thread_name_prefix="rzero-upload") as pool,
            source.open("rb") as file,
        ):
            try:
                number = 0
                while chunk := file.read(part_bytes):
                    number += 1
                    sha256.update(chunk)
                    read += len(chunk)
                    options: dict[str, Any] = {"PartNumber": number, "Body": chunk, **upload}
                    future = pool.submit(self._ask_object, "upload_part", full, **options)
                    pending[future] = (number, len(chunk))
                    del chunk, options
                    collect(most=WORKERS - 1)
                collect(most=0)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return etags, FileDigest(sha256.hexdigest(), read)

    def _complete(self, full: str, upload: dict[str, str], parts: dict[str, Any], size: int) -> None:
        """Make the object of its parts; an upload that is gone after a lost answer was completed."""
        bucket, key, _ = self._fs.split_path(full)

        def request(attempt: int) -> None:
            try:
                self._send(
                    "complete_multipart_upload", size, Bucket=bucket, Key=key, MultipartUpload=parts, **upload
                )
            except OSError as error:
                if attempt == 1 or server_code(error) != "NoSuchUpload" or self.size(full) != size:
                    raise

        self._try(request, full)

    def _abort(self, full: str, upload: dict[str, str]) -> None:
        try:
            self._ask_object("abort_multipart_upload", full, **upload)
        except StoreError as error:
            log.warning("an unfinished upload of s3://%s is left on the server: %s", full, error)

    def _pieces(self, full: str, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The bytes from `begin` to `end` as pieces with their offsets, in the order of their coming."""
        starts = iter(range(begin, end, PART_BYTES))
        pending: dict[Future[Any], int] = {}
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="rzero-download") as pool:
            try:
                while True:
                    for start in starts:
                        stop = min(start + PART_BYTES, end)
                        pending[pool.submit(self._whole_range, full, start, stop)] = start
                        if len(pending) == WORKERS:
                            break
                    if not pending:
                        return
                    finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield pending.pop(future), future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _whole_range(self, full: str, start: int, stop: int) -> bytes:
        piece = self._range(full, start, stop)
        if piece is None or len(piece) != stop - start:
            raise StoreError(f"s3://{full} changed while it was read; read it again")
        return piece

    def _range(self, full: str, start: int, stop: int) -> bytes | None:
        """The bytes of a range, as far as there are any; None where there is no object."""
        seconds = _limit_seconds(stop - start)

        def request(_: int) -> bytes | None:
            try:
                return bytes(self._fs.cat_file(full, start=start, end=stop, timeout=seconds))
            except OSError as error:
                if server_code(error) in ("InvalidRange", "416"):
                    return b""
                if is_absent(error):
                    return None
                raise

        return self._try(request, full)

    def _pages(self, full: str, bucket: str, **options: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._ask("list_objects_v2", full, Bucket=bucket, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _ask_object(self, method: str, full: str, **options: Any) -> Any:
        bucket, key, _ = self._fs.split_path(full)
        return self._ask(method, full, Bucket=bucket, Key=key, **options)

    def _ask(self, method: str, full: str, **options: Any) -> Any:
        body_bytes = len(options.get("Body", b""))
        return self._try(lambda _: self._send(method, body_bytes, **options), full)

    def _send(self, method: str, body_bytes: int, **options: Any) -> Any:
        return self._fs.call_s3(method, timeout=_limit_seconds(body_bytes), **options)

    def _try(self, request: Callable[[int], T], full: str) -> T:
        """Ask until there is an answer, or an error that does not pass, or the patience ends."""
        bucket, _, _ = self._fs.split_path(full)
        place = (endpoint_url() or "", bucket)
        retries = self._retries or _retries(place)
        try:
            answer = retries.run(request, is_transient, f"s3://{full}")
        except StoreError:
            raise
        except Exception as error:
            if not isinstance(error, (OSError, FSTimeoutError)) and not is_known(error):
                raise
            raise explain(error, full, bucket, place[0]) from None
        _reached.add(place)
        return answer


def is_known(error: Exception) -> bool:
    """Whether this is an error of the libraries between here and the server, not of this program."""
    return type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp", "asyncio")


def _retries(place: tuple[str, str]) -> Retries:
    """Full patience with a server that answered before; little with one that may not exist."""
    patience = patience_seconds()
    return Retries(patience if place in _reached else min(patience, _FIRST_CONTACT_SECONDS))


def _limit_seconds(count: int) -> float:
    """After how long a request that moves so many bytes is given up, however it trickles."""
    return REQUEST_SECONDS + count / SLOWEST_BYTES_PER_SECOND
