"""A store in an S3 bucket, through s3fs: one layer of retries, conditional creates, parallel transfers.

No URI or message ever contains credentials.
"""

from __future__ import annotations

import hashlib
import logging
import math
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeVar

from fsspec.exceptions import FSTimeoutError

from infra.keys import Key, said_by
from infra.retries import Retries
from infra.store.backend import Backend, FileDigest, Leftover, Progress
from infra.store.errors import StoreError, patience_seconds
from infra.store.s3_errors import explain, is_absent, is_refused_condition, is_transient, server_code
from infra.store.s3_settings import WORKERS, S3Settings, endpoint_url
from infra.store.s3_uploads import abort_upload, unfinished_uploads

_MOST_PARTS = 10_000
_FIRST_CONTACT_SECONDS = 5.0
_MARK = "rzero-call"

K = TypeVar("K")
T = TypeVar("T")
log = logging.getLogger("rzero.store")
_reached: set[tuple[str, str]] = set()


class S3Backend(Backend):
    """Objects of a bucket. Transient errors are retried; all others become a StoreError of one line."""

    def __init__(self, fs: Any, settings: S3Settings | None = None) -> None:
        self._fs = fs
        self._settings = settings or S3Settings()

    def size(self, full: str) -> int | None:
        head = self._head(full)
        return None if head is None else int(head["ContentLength"])

    def read(self, full: str) -> bytes | None:
        part_bytes = self._settings.part_bytes
        head = self._range(full, 0, part_bytes)
        if head is None or len(head) < part_bytes:
            return head
        size = self.size(full)
        if size is None:
            return None
        content = bytearray(size)
        content[:part_bytes] = head
        for start, piece in self._pieces(full, part_bytes, size):
            content[start : start + len(piece)] = piece
        return bytes(content)

    def put(self, full: str, content: bytes) -> None:
        self._ask_object("put_object", full, Body=content)

    def put_file(self, full: str, source: Path, progress: Progress | None) -> FileDigest:
        size = source.stat().st_size
        if size > self._settings.part_bytes:
            return self._upload(full, source, size, progress)
        content = source.read_bytes()
        self.put(full, content)
        if progress:
            progress(len(content), len(content))
        return FileDigest(hashlib.sha256(content).hexdigest(), len(content))

    def create(self, full: str, content: bytes) -> bool:
        """Write an object if there is none.

        A retry after a lost answer may be refused because the first request succeeded. The object therefore
        carries a mark of this call: if it is there, this call created it.
        """
        options = self._object(full) | {"Body": content, "Metadata": {_MARK: uuid.uuid4().hex}}

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
        """Copy an object out in parallel pieces, each retried on its own."""
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
        """Names directly under a folder. Some servers keep listing an emptied folder for a while."""
        prefix = self._prefix(full)
        names = []
        for page in self._pages(full, Delimiter="/"):
            entries = [entry["Key"] for entry in page.get("Contents", [])]
            entries += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            names += [entry.removeprefix(prefix).rstrip("/") for entry in entries if entry != prefix]
        return names

    def sizes(self, full: str) -> dict[str, int]:
        prefix = self._prefix(full)
        return {
            entry["Key"].removeprefix(prefix): int(entry["Size"])
            for page in self._pages(full)
            for entry in page.get("Contents", [])
            if not entry["Key"].endswith("/")
        }

    def remove(self, full: str) -> None:
        """Remove an object and all objects under it; a versioned bucket keeps their versions."""
        bucket, key, _ = self._fs.split_path(full)
        keys = [key, *(f"{key}/{name}" for name in self.sizes(full))]
        step = self._settings.deletes_per_request
        for begin in range(0, len(keys), step):
            objects = [{"Key": each} for each in keys[begin : begin + step]]
            answer = self._ask("delete_objects", full, Bucket=bucket, Delete={"Objects": objects})
            refused = [each for each in answer.get("Errors", []) if each.get("Code") != "NoSuchKey"]
            if refused:
                first = refused[0]
                raise StoreError(
                    f"an object under s3://{full} cannot be removed: "
                    f"{said_by(str(first.get('Message') or first.get('Code')), Key())}"
                )

    def move(self, source: str, target: str) -> bool:
        size = self.size(source)
        if size is None:
            return False
        seconds = self._settings.timeout_seconds(size)

        def request(_: int) -> bool:
            try:
                self._fs.cp_file(source, target, timeout=seconds)
            except OSError as error:
                # Somebody else has moved it meanwhile.
                if is_absent(error):
                    return False
                raise
            return True

        if not self._try(request, target):
            return False
        self._ask_object("delete_object", source)
        return True

    def leftovers(self, full: str, age_seconds: float) -> list[Leftover]:
        """Uploads begun at least this long ago and neither completed nor aborted."""
        bucket, key, _ = self._fs.split_path(full)
        return unfinished_uploads(self._ask, bucket, key, age_seconds)

    def drop(self, leftover: Leftover) -> None:
        bucket, key, _ = self._fs.split_path(leftover.full)
        abort_upload(self._ask, bucket, key, leftover)

    def _object(self, full: str) -> dict[str, Any]:
        """The request's options that name an object."""
        bucket, key, _ = self._fs.split_path(full)
        return {"Bucket": bucket, "Key": key}

    def _prefix(self, full: str) -> str:
        """What the keys of the objects under a folder begin with."""
        key = self._fs.split_path(full)[1].rstrip("/")
        return f"{key}/" if key else ""

    def _head(self, full: str) -> dict[str, Any] | None:
        def request(_: int) -> dict[str, Any] | None:
            try:
                return dict(self._send("head_object", 0, **self._object(full)))
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
        """Read in order, send in parallel; hardly more parts in memory than there are workers."""
        part_bytes = max(self._settings.part_bytes, math.ceil(size / _MOST_PARTS))
        sha256, etags = hashlib.sha256(), dict[int, str]()
        read = sent = 0

        def parts() -> Iterator[tuple[tuple[int, int], Callable[[], Any]]]:
            nonlocal read
            with source.open("rb") as file:
                for number, chunk in enumerate(iter(lambda: file.read(part_bytes), b""), 1):
                    sha256.update(chunk)
                    read += len(chunk)
                    options: dict[str, Any] = {"PartNumber": number, "Body": chunk, **upload}
                    yield (number, len(chunk)), partial(self._ask_object, "upload_part", full, **options)

        for (number, count), answer in _in_parallel(parts()):
            etags[number] = answer["ETag"]
            sent += count
            if progress:
                progress(sent, size)
        return etags, FileDigest(sha256.hexdigest(), read)

    def _complete(self, full: str, upload: dict[str, str], parts: dict[str, Any], size: int) -> None:
        """Make the object of its parts; an upload that is gone after a lost answer was completed."""
        options = self._object(full) | {"MultipartUpload": parts} | upload

        def request(attempt: int) -> None:
            try:
                self._send("complete_multipart_upload", size, **options)
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
        """The bytes from `begin` to `end` as pieces with their offsets, in the order of their arrival."""
        step = self._settings.part_bytes
        return _in_parallel(
            (start, partial(self._whole_range, full, start, min(start + step, end)))
            for start in range(begin, end, step)
        )

    def _whole_range(self, full: str, start: int, stop: int) -> bytes:
        piece = self._range(full, start, stop)
        if piece is None or len(piece) != stop - start:
            raise StoreError(f"s3://{full} changed while it was read; read it again")
        return piece

    def _range(self, full: str, start: int, stop: int) -> bytes | None:
        """The bytes of a range, as far as there are any; None if there is no object."""
        seconds = self._settings.timeout_seconds(stop - start)

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

    def _pages(self, full: str, **options: Any) -> Iterator[dict[str, Any]]:
        """What lies under a folder, page by page."""
        options |= {"Bucket": self._object(full)["Bucket"], "Prefix": self._prefix(full)}
        options["MaxKeys"] = self._settings.names_per_page
        while True:
            page = self._ask("list_objects_v2", full, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _ask_object(self, method: str, full: str, **options: Any) -> Any:
        return self._ask(method, full, **self._object(full), **options)

    def _ask(self, method: str, full: str, **options: Any) -> Any:
        body_bytes = len(options.get("Body", b""))
        return self._try(lambda _: self._send(method, body_bytes, **options), full)

    def _send(self, method: str, body_bytes: int, **options: Any) -> Any:
        return self._fs.call_s3(method, timeout=self._settings.timeout_seconds(body_bytes), **options)

    def _try(self, request: Callable[[int], T], full: str) -> T:
        """Ask until there is an answer, an error that is not transient, or no patience left."""
        bucket, _, _ = self._fs.split_path(full)
        place = (endpoint_url() or "", bucket)
        retries = self._settings.retries or _default_retries(place)
        try:
            answer = retries.run(request, is_transient, f"s3://{full}")
        except StoreError:
            raise
        except Exception as error:
            if not isinstance(error, (OSError, FSTimeoutError)) and not _is_of_the_libraries(error):
                raise
            raise explain(error, full, bucket, place[0]) from None
        _reached.add(place)
        return answer


def _in_parallel(jobs: Iterable[tuple[K, Callable[[], T]]]) -> Iterator[tuple[K, T]]:
    """The results of named jobs as they come in; a job is drawn only when a worker is free for it."""
    pending: dict[Future[T], K] = {}
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="rzero-s3") as pool:
        try:
            for job in chain(jobs, repeat(None)):
                if job is not None:
                    pending[pool.submit(job[1])] = job[0]
                    if len(pending) < WORKERS:
                        continue
                if not pending:
                    return
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield pending.pop(future), future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_of_the_libraries(error: Exception) -> bool:
    """Whether the error comes from the libraries between here and the server, not from this program."""
    return type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp", "asyncio")


def _default_retries(place: tuple[str, str]) -> Retries:
    """Full patience with a server that has answered before, little with one that may not exist."""
    patience = patience_seconds()
    return Retries(patience if place in _reached else min(patience, _FIRST_CONTACT_SECONDS))
