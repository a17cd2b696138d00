"""From an artifact back to all that it was made from, read from the manifests alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from infra.artifacts.artifact import (
    MANIFEST,
    ArtifactRef,
    DamagedArtifact,
    Location,
    Manifest,
    check_size,
    parse_manifest,
    read_manifest,
)
from infra.store.store import Store

State = Literal["there", "gone", "other content", "damaged"]
"""Of an artifact, seen from one that was made from it: as it was; without a manifest; with another digest
than the one that was used; with a manifest that cannot be read, or a file that is missing or cut."""

_PLACE = re.compile(r"runs/(?P<run>[^/]+)/iteration=(?P<iteration>\d+)/(?P<stage>[^/]+)/(?P<key>[^/]+)/?$")


@dataclass(frozen=True)
class Source:
    """One input of an artifact: its name, what was used, and what is there now."""

    name: str
    used: ArtifactRef
    state: State
    node: Node | None
    digest_now: str | None = None


@dataclass(frozen=True)
class Node:
    """An artifact that is there, and its inputs."""

    location: Location
    uri: str
    manifest: Manifest
    damage: str | None
    sources: list[Source] = field(default_factory=list)


def lineage(store: Store, location: Location) -> Node | None:
    """The artifact with all its inputs, and theirs; None where it has no manifest.

    An artifact that is the input of several is one node. Inputs are looked for in this store, wherever it
    was when they were made. Raises DamagedArtifact where the manifest asked for cannot be read.
    """
    return _node(store, location, {})


def location_of(uri: str) -> Location | None:
    """Where an artifact lies, from its URI in whatever store; None for what is no artifact's."""
    match = _PLACE.search(uri)
    if match is None:
        return None
    return Location(
        run=match["run"], iteration=int(match["iteration"]), stage=match["stage"], key=match["key"]
    )


def newest_location(store: Store, run: str, iteration: int, stage: str) -> Location | None:
    """Of all artifacts of a stage, whatever their key, the one that was finished last; None without any."""
    found: list[tuple[str, Location]] = []
    for key in store.names(f"runs/{run}/iteration={iteration}/{stage}"):
        place = Location(run=run, iteration=iteration, stage=stage, key=key)
        try:
            manifest = read_manifest(store, place)
        except DamagedArtifact:
            continue
        if manifest is not None:
            found.append((manifest.finished_at, place))
    return max(found, key=lambda each: each[0])[1] if found else None


def problems(node: Node) -> list[str]:
    """One line for each input that is not there as it was used, each once; [] where all is as it was."""
    found: dict[str, None] = {}
    for each in nodes(node):
        if each.damage:
            found[each.damage] = None
        for source in each.sources:
            what = f"{source.used.uri}, {source.name!r} of {each.location.path},"
            if source.state == "gone":
                found[f"{what} is gone"] = None
            elif source.state == "other content":
                found[f"{what} had digest {source.used.digest}, now {source.digest_now}"] = None
            elif source.state == "damaged" and source.node is None:
                found[f"{what} has a manifest that cannot be read"] = None
    return list(found)


def nodes(node: Node) -> list[Node]:
    """The artifact and all that it was made from, each once, inputs after what was made from them."""
    found: dict[str, Node] = {}

    def visit(each: Node) -> None:
        if each.location.path not in found:
            found[each.location.path] = each
            for source in each.sources:
                if source.node is not None:
                    visit(source.node)

    visit(node)
    return list(found.values())


def _node(store: Store, location: Location, known: dict[str, Node]) -> Node | None:
    if location.path in known:
        return known[location.path]
    content = store.get(f"{location.path}/{MANIFEST}")
    if content is None:
        return None
    manifest = parse_manifest(store, location.path, content)
    node = Node(location, store.uri_of(location.path), manifest, _damage(store, location, manifest))
    known[location.path] = node
    for name, used in sorted(manifest.inputs.items()):
        node.sources.append(_source(store, name, used, known))
    return node


def _source(store: Store, name: str, used: ArtifactRef, known: dict[str, Node]) -> Source:
    location = location_of(used.uri)
    try:
        node = _node(store, location, known) if location else None
    except DamagedArtifact:
        return Source(name, used, "damaged", None)
    if node is None:
        return Source(name, used, "gone", None)
    now = node.manifest.digest
    state: State = "other content" if now != used.digest else "damaged" if node.damage else "there"
    return Source(name, used, state, node, now)


def _damage(store: Store, location: Location, manifest: Manifest) -> str | None:
    sizes = store.sizes(location.path)
    try:
        for file in manifest.files:
            check_size(store, location.path, file, sizes.get(file.name))
    except DamagedArtifact as damage:
        return str(damage)
    return None
