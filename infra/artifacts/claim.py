"""Which writer's files an artifact is made of: decided once, before any of them is where readers look.

A writer keeps its files in a folder of its own. To finish, it creates `claim.json`, which has one winner on
every store and is never changed. The claim names the winner's files and holds the manifest; anybody may then
move the files to the artifact's folder and create the manifest there, since all would do the same.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from infra.artifacts.artifact import (
    MANIFEST,
    ArtifactRef,
    DamagedArtifact,
    Location,
    Manifest,
    check_files,
    ref_of,
)
from infra.artifacts.names import store_path
from infra.store.store import Store

_CLAIM = "claim.json"


class Claim(BaseModel):
    """The winner's manifest, and where its files lie in the store until they are moved, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Manifest
    sources: dict[str, Annotated[str, AfterValidator(store_path)]]


def create_claim(store: Store, location: Location, claim: Claim) -> bool:
    """Whether this call decided what the artifact is made of."""
    return store.create(f"{location.work}/{_CLAIM}", json_bytes(claim.model_dump(mode="json")))


def read_claim(store: Store, location: Location) -> Claim | None:
    """What was decided; None if nothing was. DamagedArtifact if it cannot be read."""
    path = f"{location.work}/{_CLAIM}"
    content = store.get(path)
    if content is None:
        return None
    try:
        claim = Claim.model_validate_json(content)
    except ValidationError:
        raise DamagedArtifact(location.path, f"{store.uri_of(path)} cannot be read") from None
    if set(claim.sources) != {file.name for file in claim.manifest.files}:
        raise DamagedArtifact(location.path, f"{store.uri_of(path)} does not name the files of its manifest")
    return claim


def complete(store: Store, location: Location) -> ArtifactRef | None:
    """Make the artifact exist that a writer has claimed; None if nobody has.

    Every process may do this, at any time and at the same time as others. DamagedArtifact if a file is gone.
    """
    claim = read_claim(store, location)
    if claim is None:
        return None
    there = store.sizes(location.path)
    for file in claim.manifest.files:
        if file.name not in there:
            store.move(claim.sources[file.name], f"{location.path}/{file.name}")
    check_files(store, location, claim.manifest, store.sizes(location.path))
    store.create(f"{location.path}/{MANIFEST}", json_bytes(claim.manifest.model_dump(mode="json")))
    return ref_of(store, location, claim.manifest)


def json_bytes(value: Any) -> bytes:
    """JSON as the store's files hold it."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
