"""Where Prefect keeps the results of tasks: small JSON references in the same store as the artifacts."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from infra.store.store import Store


def results_path() -> str:
    """Folder of Prefect's results within the store."""
    return "prefect-results"


def result_storage(store: Store) -> Any:
    """Prefect's storage block for this store, saved to the API in use."""
    from prefect.settings import get_current_settings

    return _saved_block(store.uri, store.is_local, str(get_current_settings().api.url))


@functools.cache
def _saved_block(uri: str, is_local: bool, api_url: str) -> Any:
    """Prefect only accepts storage that its API knows; each store has a block of its own name."""
    from prefect.filesystems import LocalFileSystem, RemoteFileSystem

    base = f"{uri}/{results_path()}"
    block: Any = (
        LocalFileSystem(basepath=base)
        if is_local
        else RemoteFileSystem(basepath=base, settings={"use_listings_cache": False})
    )
    block.save(f"rzero-{hashlib.sha256(uri.encode()).hexdigest()[:16]}", overwrite=True)
    return block
