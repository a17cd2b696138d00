"""Damaged artifacts are set aside, never deleted, so that the next run makes them again.

`_damage.json` in an artifact's folder says that it no longer exists. It is created before anything else
happens and never removed while the artifact is made again elsewhere, so nobody writes there any more. The
manifest and the files that it lists then get the suffix `.damaged`, so no search for tables or manifests
finds them.
"""

from __future__ import annotations

import logging
import socket
from datetime import UTC, datetime

from infra.artifacts.artifact import (
    DAMAGE,
    MANIFEST,
    ArtifactRef,
    DamagedArtifact,
    Location,
    find,
    is_loaded,
    location_of,
    newest_generation,
    parse_manifest,
)
from infra.artifacts.claim import complete, json_bytes, read_claim
from infra.store.store import Store, StoreError

SUFFIX = ".damaged"

log = logging.getLogger("rzero.store")


def find_or_set_aside(store: Store, location: Location) -> ArtifactRef | None:
    """The artifact; None if it does not exist, or was damaged and has been set aside by this call.

    One that was claimed by a writer that did not live to finish it is finished.
    """
    try:
        newest, _ = newest_generation(store, location)
        for generation in range(1, newest.generation):
            _finish_setting_aside(store, location.model_copy(update={"generation": generation}))
        return find(store, newest) or complete(store, newest)
    except DamagedArtifact as damage:
        log.warning("%s; set aside at %s, to be made again", damage, set_aside(store, damage.path))
        return None


def set_aside(store: Store, artifact: Location | str) -> str:
    """Let an artifact (or the folder that DamagedArtifact names) no longer exist; the URI of its folder.

    Several processes may do this at the same time: all do the same.
    """
    location = location_of(artifact) if isinstance(artifact, str) else artifact
    if location is None:
        raise StoreError(f"{artifact} is no artifact's folder")
    names = _listed(store, location)
    note = {
        "set_aside_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "files": sorted(names),
    }
    store.create(f"{location.path}/{DAMAGE}", json_bytes(note))
    for name in names:
        store.move(f"{location.path}/{name}", f"{location.path}/{name}{SUFFIX}")
    return store.uri_of(location.path)


def _finish_setting_aside(store: Store, location: Location) -> None:
    """Hide what a process that was killed in the middle of it, or a request that came late, has left."""
    if any(is_loaded(name) and not name.endswith(SUFFIX) for name in store.sizes(location.path)):
        set_aside(store, location)


def _listed(store: Store, location: Location) -> list[str]:
    """The manifest and the files that it lists, or that the claim lists if it cannot be read."""
    for name in (MANIFEST, f"{MANIFEST}{SUFFIX}"):
        content = store.get(f"{location.path}/{name}")
        try:
            if content is not None:
                manifest = parse_manifest(store, location.path, content)
                return [MANIFEST, *(file.name for file in manifest.files)]
        except DamagedArtifact:
            continue
    try:
        claim = read_claim(store, location)
    except DamagedArtifact:
        claim = None
    if claim is not None:
        return [MANIFEST, *(file.name for file in claim.manifest.files)]
    # Nothing says what was listed, and nobody but the artifact's maker writes here.
    names = [name for name in store.sizes(location.path) if is_loaded(name) and SUFFIX not in name]
    return [MANIFEST, *names]
