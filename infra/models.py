"""Model directories of the store as local folders."""

from __future__ import annotations

import os
from pathlib import Path

from infra.artifacts import MANIFEST, ArtifactRef, Manifest, sha256
from infra.store import Store, StoreError


def model_folder(store: Store, ref: ArtifactRef) -> Path:
    """A local Hugging Face directory with the model: the store's own where it is local, else a verified copy.

    Copies are kept by digest under `$RZERO_CACHE`, by default `~/.cache/rzero/models`.
    """
    path = store.path_of(ref.uri)
    if store.is_local:
        return Path(store.full(path))
    folder = _cache() / ref.digest
    manifest = Manifest.model_validate_json(store.read(f"{path}/{MANIFEST}"))
    for file in manifest.files:
        target = folder / file.name
        if "/" in file.name or (target.exists() and target.stat().st_size == file.bytes):
            continue
        store.download(f"{path}/{file.name}", target)
        if sha256(target.read_bytes()) != file.sha256:
            target.unlink()
            raise StoreError(f"{ref.uri}/{file.name} does not have the sha256 of its manifest")
    return folder


def _cache() -> Path:
    return Path(os.environ.get("RZERO_CACHE", "~/.cache/rzero/models")).expanduser()
