"""From an artifact back to everything it was made from, read from the manifests alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from infra.artifacts.artifact import (
    ArtifactRef,
    DamagedArtifact,
    Location,
    Manifest,
    check_files,
    location_of,
    newest_generation,
    read_manifest,
)
from infra.store.store import Store

State = Literal["there", "gone", "other content", "damaged"]
"""The state of an artifact, seen from one that was made from it: unchanged; without a manifest; with a digest
other than the one used; with a manifest that cannot be read or a file that is missing or truncated."""


@dataclass(frozen=True)
class Source:
    """One input of an artifact: its name, what was used and what is there now."""

    name: str
    used: ArtifactRef
    state: State
    node: Node | None
    digest_now: str | None = None


@dataclass(frozen=True)
class Node:
    """An artifact in the store, and its inputs."""

    location: Location
    uri: str
    manifest: Manifest
    damage: str | None
    sources: list[Source] = field(default_factory=list)


def lineage(store: Store, location: Location) -> Node | None:
    """The artifact with all its inputs, and theirs; None if it has no manifest.

    An artifact that is an input of several others is one node. Inputs are looked up in this store, even if
    it lay elsewhere when they were made. DamagedArtifact if the artifact's own manifest cannot be read.
    """
    return _node(store, location, {})


def newest_location(store: Store, run: str, iteration: int, stage: str) -> Location | None:
    """The artifact of a stage that was finished last, whatever its key; None without any."""
    finished: list[tuple[str, Location]] = []
    for name in store.names(f"runs/{run}/iteration={iteration}/{stage}"):
        place = location_of(f"runs/{run}/iteration={iteration}/{stage}/{name}")
        if place is None or place.generation != 1:
            continue
        place, _ = newest_generation(store, place)
        try:
            manifest = read_manifest(store, place)
        except DamagedArtifact:
            continue
        if manifest is not None:
            finished.append((manifest.finished_at, place))
    return max(finished, key=lambda each: each[0])[1] if finished else None


def problems(node: Node) -> list[str]:
    """One line for each input that is no longer as it was used; [] if all are unchanged."""
    lines: list[str] = []
    for each in nodes(node):
        if each.damage:
            lines.append(each.damage)
        lines += [line for source in each.sources if (line := _problem(source, each.location))]
    return list(dict.fromkeys(lines))


def problems_of_inputs(store: Store, location: Location, manifest: Manifest) -> list[str]:
    """One line for each direct input of an artifact that is no longer as it was used."""
    sources = [_source(store, name, used, {}, deep=False) for name, used in sorted(manifest.inputs.items())]
    return [line for source in sources if (line := _problem(source, location))]


def _problem(source: Source, of: Location) -> str | None:
    what = f"{source.used.uri}, {source.name!r} of {of.path},"
    if source.state == "gone":
        return f"{what} is gone"
    if source.state == "other content":
        return f"{what} had digest {source.used.digest}, now {source.digest_now}"
    if source.state == "damaged" and source.node is None:
        return f"{what} has a manifest that cannot be read"
    return None


def nodes(node: Node) -> list[Node]:
    """The artifact and everything it was made from, each once, inputs after what was made from them."""
    seen: dict[str, Node] = {}

    def visit(each: Node) -> None:
        if each.location.path not in seen:
            seen[each.location.path] = each
            for source in each.sources:
                if source.node is not None:
                    visit(source.node)

    visit(node)
    return list(seen.values())


def _node(store: Store, location: Location, known: dict[str, Node], deep: bool = True) -> Node | None:
    if location.path in known:
        return known[location.path]
    manifest = read_manifest(store, location)
    if manifest is None:
        return None
    node = Node(location, store.uri_of(location.path), manifest, _damage(store, location, manifest))
    known[location.path] = node
    for name, used in sorted(manifest.inputs.items()) if deep else ():
        node.sources.append(_source(store, name, used, known))
    return node


def _source(store: Store, name: str, used: ArtifactRef, known: dict[str, Node], deep: bool = True) -> Source:
    location = location_of(used.uri)
    if location is not None:
        # Where it was set aside as damaged, what was made in its place counts.
        location, _ = newest_generation(store, location)
    try:
        node = _node(store, location, known, deep) if location else None
    except DamagedArtifact:
        return Source(name, used, "damaged", None)
    if node is None:
        return Source(name, used, "gone", None)
    now = node.manifest.digest
    state: State = "other content" if now != used.digest else "damaged" if node.damage else "there"
    return Source(name, used, state, node, now)


def _damage(store: Store, location: Location, manifest: Manifest) -> str | None:
    try:
        check_files(store, location, manifest, store.sizes(location.path))
    except DamagedArtifact as damage:
        return str(damage)
    return None
