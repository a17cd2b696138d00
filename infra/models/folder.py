"""Model directories of the store as local folders, verified once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from infra.artifacts.artifact import ArtifactRef, DamagedArtifact, FileRecord, check_size, manifest_of
from infra.artifacts.verify import unlisted
from infra.models.cache import ModelCache
from infra.store.store import DigestMismatch, Progress, Store, StoreError, file_sha256, shifted

_verified: set[tuple[str, int, int]] = set()


def model_folder(store: Store, ref: ArtifactRef, progress: Progress | None = None) -> Path:
    """A local Hugging Face directory with the model: the store's own if that is local, else a copy.

    DamagedArtifact if a file does not have the sha256 of the manifest, StoreError if one lies there that the
    manifest does not list: loaders would read it. Copies are kept by digest under
    `$RZERO_CACHE` (by default `~/.cache/rzero/models`), at most `$RZERO_CACHE_GIB` of them; the last few that
    this process asked for are never dropped.
    """
    manifest = manifest_of(store, ref)
    path = store.path_of(ref.uri)
    files = [file for file in manifest.files if "/" not in file.name]
    if store.is_local:
        for file in files:
            _verify(store, path, file)
        if foreign := unlisted(manifest, store.sizes(path)):
            raise StoreError(
                f"{ref.uri} holds {foreign[0]}, which its manifest does not list: remove that file"
            )
        return Path(store.full(path))
    cache = ModelCache.from_environment()
    try:
        return cache.folder(
            manifest.digest,
            sum(file.bytes for file in files),
            lambda folder: _fetch(store, path, files, folder, progress),
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        hint = "make room there, or set RZERO_CACHE" if error.errno == errno.ENOSPC else "set RZERO_CACHE"
        raise StoreError(f"{cache.root} cannot hold the model {ref.uri}: {reason}; {hint}") from None


def _fetch(store: Store, path: str, files: list[FileRecord], folder: Path, progress: Progress | None) -> None:
    """Fetch the files that are not there yet, or were left half done by an earlier process."""
    total = sum(file.bytes for file in files)
    done = 0
    for file in files:
        target = folder / file.name
        if not target.exists() or file_sha256(target) != file.sha256:
            _download(store, path, file, target, shifted(progress, done, total))
        done += file.bytes


def _download(store: Store, path: str, file: FileRecord, target: Path, progress: Progress | None) -> None:
    """Fetch a file; if it arrives with another sha256, once more, before blaming the store."""
    name = f"{path}/{file.name}"
    check_size(store, path, file, store.size(name))
    for attempt in (1, 2):
        try:
            return store.download(name, target, file.sha256, progress)
        except DigestMismatch as error:
            if attempt == 2:
                raise DamagedArtifact(path, str(error)) from None


def _verify(store: Store, path: str, file: FileRecord) -> None:
    """DamagedArtifact if a file of a local store is not the manifest's; each is read once per process."""
    full = Path(store.full(f"{path}/{file.name}"))
    stat = full.stat() if full.is_file() else None
    check_size(store, path, file, stat.st_size if stat else None)
    if stat is None or (seen := (str(full), stat.st_ino, stat.st_mtime_ns)) in _verified:
        return
    if file_sha256(full) != file.sha256:
        raise DamagedArtifact(path, f"{full} does not have the sha256 of its manifest")
    _verified.add(seen)
