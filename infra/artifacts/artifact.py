"""Artifacts: files under a key, and a manifest, written last, that makes them exist.

    <store>/runs/<run>/iteration=<k>/<stage>/<key>/_manifest.json

An artifact's main output (the parts of a table, or a model directory) lies at the top of that folder; side
tables lie in folders named after them. Without a manifest there is no artifact. Nobody writes there before it
is decided whose files they are (`infra.artifacts.claim`); what is being made lies under `runs/<run>/_work/`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from infra.artifacts.names import plain_path
from infra.store.store import Store, StoreError
from infra.store.tables import parquet_table

MANIFEST = "_manifest.json"
DAMAGE = "_damage.json"
WORK = "_work"
FORMAT_VERSION = 1


class DamagedArtifact(StoreError):
    """An artifact whose files are not what its manifest says; `path` is its folder within the store.

    `infra.artifacts.damage.set_aside` moves it out of the way, so that it is made again.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[type[DamagedArtifact], tuple[str, str]]:
        """Keep the path when pickled."""
        return type(self), (self.path, str(self))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArtifactRef(_Frozen):
    """What travels between tasks: where an artifact is and what it is, never its content."""

    uri: str = Field(description="Folder of the artifact, or the file of a part.")
    digest: str = Field(description="sha256 of the content.")
    kind: str = Field(description="'model', 'part', or the name of the main table.")
    rows: int | None = Field(None, description="Rows of the main table.")
    bytes: int = Field(description="Bytes of all its files.")
    inputs: dict[str, str] = Field(default_factory=dict, description="Digests of its inputs, by name.")


class FileRecord(_Frozen):
    """One file of an artifact."""

    name: Annotated[str, AfterValidator(plain_path)]
    sha256: str
    bytes: int
    rows: int | None = None


class Location(_Frozen):
    """Where an artifact lies, known before it is made.

    One that was found damaged is never made again in the same folder: the next `generation` has a folder of
    its own, `<key>.2` and so on. So no path ever holds the files of two writers.
    """

    run: str
    iteration: int
    stage: str
    key: str
    generation: int = 1

    @property
    def name(self) -> str:
        """Name of the artifact's folder."""
        return self.key if self.generation == 1 else f"{self.key}.{self.generation}"

    @property
    def path(self) -> str:
        """The artifact's folder within the store: it holds what is finished."""
        return f"runs/{self.run}/iteration={self.iteration}/{self.stage}/{self.name}"

    @property
    def work(self) -> str:
        """The folder within the store for what is not: leases, shards, checkpoints, files of writers."""
        return f"runs/{self.run}/{WORK}/iteration={self.iteration}/{self.stage}/{self.name}"

    @property
    def next(self) -> Location:
        """Where it is made again once this one was set aside."""
        return self.model_copy(update={"generation": self.generation + 1})


_PLACE = re.compile(
    r"runs/(?P<run>[^/]+)/iteration=(?P<iteration>\d+)/(?P<stage>[^/]+)/(?P<key>[^/.]+)"
    r"(?:\.(?P<generation>[1-9]\d*))?/?$"
)


def location_of(uri: str) -> Location | None:
    """Where an artifact lies, from its URI in any store; None if the URI is not an artifact's."""
    match = _PLACE.search(uri)
    if match is None:
        return None
    numbers = {"iteration": int(match["iteration"]), "generation": int(match["generation"] or 1)}
    return Location(run=match["run"], stage=match["stage"], key=match["key"], **numbers)


class Manifest(_Frozen):
    """What an artifact holds, how it was made and from what."""

    format_version: int = Field(default=FORMAT_VERSION, strict=True)
    stage: str
    stage_version: int
    key: str
    iteration: int
    seed: int
    kind: str
    digest: str
    rows: int | None
    bytes: int
    files: tuple[FileRecord, ...]
    inputs: dict[str, ArtifactRef]
    figures: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]
    host: str
    adopted_from: str | None = Field(
        None, description="The run it was copied from, if another run of the store made it."
    )
    started_at: str
    finished_at: str
    seconds: float = Field(description="How long it took to make, including its parts.")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(content: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(content).hexdigest()


def artifact_key(stage: str, version: int, config: Any, seed: int, inputs: Mapping[str, str]) -> str:
    """The key: equal for equal work, so nothing is made twice. `inputs` are digests by name."""
    parts = {"stage": stage, "version": version, "config": config, "seed": seed, "inputs": dict(inputs)}
    return sha256(canonical_json(parts).encode())


def content_digest(files: Sequence[FileRecord]) -> str:
    """sha256 over the names, sizes and digests of the files, sorted by name."""
    listing = [[file.name, file.bytes, file.sha256] for file in sorted(files, key=lambda file: file.name)]
    return sha256(canonical_json(listing).encode())


def read_manifest(store: Store, location: Location) -> Manifest | None:
    """The manifest; None if the artifact does not exist.

    DamagedArtifact if it cannot be read as one, StoreError if a newer version wrote it.
    """
    content = store.get(f"{location.path}/{MANIFEST}")
    return None if content is None else parse_manifest(store, location.path, content)


def parse_manifest(store: Store, path: str, content: bytes) -> Manifest:
    """The manifest of the artifact in the folder `path`, from its bytes; errors as in `read_manifest`."""
    uri = store.uri_of(f"{path}/{MANIFEST}")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        if (written := _format_version(content)) > FORMAT_VERSION:
            raise _other_format(path, uri, written) from None
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its JSON"
        raise DamagedArtifact(
            path, f"{uri} is not a manifest of this version: {where}: {first['msg']}"
        ) from None
    if manifest.format_version != FORMAT_VERSION:
        raise _other_format(path, uri, manifest.format_version)
    if manifest.digest != content_digest(manifest.files):
        raise DamagedArtifact(path, f"{uri} was changed: its digest is not that of the files it lists")
    return manifest


def _other_format(path: str, uri: str, written: int) -> StoreError:
    """A newer format is no damage: what this version cannot read stays where it is."""
    if written > FORMAT_VERSION:
        return StoreError(
            f"{uri} has format {written}, this version of rzero reads {FORMAT_VERSION}; update rzero"
        )
    return DamagedArtifact(path, f"{uri} is not a manifest of this version: its format is {written}")


def _format_version(content: bytes) -> int:
    try:
        version = json.loads(content).get("format_version")
    except (ValueError, AttributeError, RecursionError):
        return 0
    return version if isinstance(version, int) else 0


class Found(NamedTuple):
    """An artifact that exists: where, and its manifest."""

    location: Location
    manifest: Manifest


def find(store: Store, location: Location) -> ArtifactRef | None:
    """The artifact at this location, with all files of the right size; None if it does not exist.

    DamagedArtifact if its manifest or a file is not whole.
    """
    found = find_manifest(store, location)
    return None if found is None else ref_of(store, *found)


def find_manifest(store: Store, location: Location) -> Found | None:
    """The artifact at this location, whatever its generation; None and DamagedArtifact as in `find`."""
    location, sizes = newest_generation(store, location)
    manifest = read_manifest(store, location) if MANIFEST in sizes else None
    if manifest is None:
        return None
    check_files(store, location, manifest, sizes)
    return Found(location, manifest)


def newest_generation(store: Store, location: Location) -> tuple[Location, dict[str, int]]:
    """The first generation that was not set aside, made or not, and the sizes of the files in its folder."""
    while DAMAGE in (sizes := store.sizes(location.path)):
        location = location.next
    return location, sizes


def check_files(store: Store, location: Location, manifest: Manifest, sizes: Mapping[str, int]) -> None:
    """DamagedArtifact if a file of the manifest is missing or has another size among these."""
    for file in manifest.files:
        check_size(store, location.path, file, sizes.get(file.name))


def check_size(store: Store, path: str, file: FileRecord, size: int | None) -> None:
    """DamagedArtifact if a file of the artifact in the folder `path` is missing or has another size."""
    if size != file.bytes:
        actual = "missing" if size is None else f"{size} bytes long"
        raise DamagedArtifact(
            path, f"{store.uri_of(path)}/{file.name} is {actual}, its manifest says {file.bytes} bytes"
        )


def is_loaded(name: str) -> bool:
    """Whether loaders and searches see a file of this name in an artifact's folder.

    Names that begin with a dot or an underscore are nobody's, or the store's own.
    """
    return name[0] not in "._"


def ref_of(store: Store, location: Location, manifest: Manifest) -> ArtifactRef:
    """The reference to an artifact with this manifest."""
    return ArtifactRef(
        uri=store.uri_of(location.path),
        digest=manifest.digest,
        kind=manifest.kind,
        rows=manifest.rows,
        bytes=manifest.bytes,
        inputs={name: ref.digest for name, ref in manifest.inputs.items()},
    )


def part_name(part: int) -> str:
    """File name of a part of a table."""
    return f"part-{part:05d}.parquet"


def table_files(manifest: Manifest, side_table: str | None = None) -> list[FileRecord]:
    """The files of the main table or of a side table, in order."""
    prefix = "" if side_table is None else f"{side_table}/"
    tables = (file for file in manifest.files if file.name.endswith(".parquet"))
    return [file for file in tables if file.name == prefix + file.name.rpartition("/")[2]]


def table_folders(manifest: Manifest) -> list[str]:
    """Folders of the artifact that hold a table: "" for the main one, "/rollouts" and the like."""
    tables = (file.name for file in manifest.files if file.name.endswith(".parquet"))
    return sorted({f"/{name.rpartition('/')[0]}".rstrip("/") for name in tables})


def read_table(
    store: Store,
    ref: ArtifactRef,
    side_table: str | None = None,
    columns: Sequence[str] | None = None,
    part: int | None = None,
) -> pa.Table:
    """The rows of the main table or a side table, verified; DamagedArtifact where a file is amiss.

    `columns` and `part` choose some of them; StoreError where there is no such table or part.
    """
    path = store.path_of(ref.uri)
    manifest = manifest_of(store, ref)
    files = table_files(manifest, side_table)
    if part is not None:
        files = [file for file in files if file.name.rpartition("/")[2] == part_name(part)]
    if not files:
        raise StoreError(f"{ref.uri} has no table {side_table or manifest.kind!r}")
    tables = []
    for file in files:
        content = store.get(f"{path}/{file.name}")
        check_size(store, path, file, None if content is None else len(content))
        if content is None or sha256(content) != file.sha256:
            raise DamagedArtifact(path, f"{ref.uri}/{file.name} does not have the sha256 of its manifest")
        tables.append(parquet_table(content, columns))
    return pa.concat_tables(tables)


def manifest_of(store: Store, ref: ArtifactRef) -> Manifest:
    """The manifest of the artifact referred to; DamagedArtifact if other content is there now."""
    path = store.path_of(ref.uri)
    manifest = parse_manifest(store, path, store.read(f"{path}/{MANIFEST}"))
    if manifest.digest != ref.digest:
        raise DamagedArtifact(path, f"{ref.uri} is not what it was: another content was made there")
    return manifest
