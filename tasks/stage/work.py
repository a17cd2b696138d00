"""The work of one stage while it is made: its inputs, its seed, its writer, its key figures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa

from data.config import RunConfig
from data.schemas import SCHEMAS, NamedColumn, schema_of
from data.seeds import derive_seed
from infra.artifacts import parts as finished
from infra.artifacts.adopt import CopiedFile, find_elsewhere, find_part_elsewhere
from infra.artifacts.artifact import (
    ArtifactRef,
    DamagedArtifact,
    Location,
    manifest_of,
    read_table,
    sha256,
    table_files,
)
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.artifacts.damage import set_aside
from infra.artifacts.parts import FoundPart, PartRecord
from infra.artifacts.writer import ArtifactWriter, DamagedPart, clear_writers
from infra.models.folder import model_folder
from infra.run_log import run_log
from infra.store.lease import Lease
from infra.store.store import Store, StoreError
from infra.store.tables import parquet_table, table_of
from tasks.stage.graph import STAGES, stage_seed
from tasks.stage.view import View

LEASES = "leases"


class Work:
    """What the body of a stage is handed.

    `config` holds only the settings that the stage declares in the graph; `whole_config` is for those that
    decide nothing of what it computes.
    """

    def __init__(self, config: RunConfig, iteration: int, store: Store, location: Location) -> None:
        self.iteration = iteration
        self.store = store
        self.location = location
        self.stage = STAGES[location.stage]
        self._set_config(config)
        self.seed = stage_seed(config, self.stage.name, iteration)
        self.figures: dict[str, Any] = {}
        self.log = run_log()
        self.lease: Lease | None = None
        self.batches_fit: Callable[[], None] = lambda: None
        """To be called once batches of the present size have fitted into memory."""
        self._recorded_config = config
        self._writer = ArtifactWriter(store, location)
        self._part_record: PartRecord | None = None

    def begin_again(self, config: RunConfig, figures: Mapping[str, Any]) -> None:
        """Forget what was written so far, and go on with settings that the manifest does not record."""
        self._set_config(config)
        self.figures = dict(figures)
        self._writer.clear()
        self._writer = ArtifactWriter(self.store, self.location)
        self._part_record = None

    def _set_config(self, config: RunConfig) -> None:
        self.whole_config = config
        self.config = cast(RunConfig, View(self.stage.name, config, self.stage.reads))

    def seed_of(self, *labels: str | int) -> int:
        """A seed of its own for one thing within the stage."""
        return derive_seed(self.seed, *labels)

    def model(self, ref: ArtifactRef) -> Path:
        """A local Hugging Face directory with the model."""
        with self._whole_inputs():
            return model_folder(self.store, ref)

    def table(
        self,
        ref: ArtifactRef,
        side_table: str | None = None,
        columns: Sequence[str] | None = None,
        part: int | None = None,
    ) -> pl.DataFrame:
        """Rows of an artifact's main table or of a side table: all, those of one part, some columns."""
        with self._whole_inputs():
            return pl.DataFrame(read_table(self.store, ref, side_table, columns, part))

    def parts(self, ref: ArtifactRef, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The parts of an artifact's main table, one at a time."""
        for part in range(len(table_files(manifest_of(self.store, ref)))):
            yield self.table(ref, columns=columns, part=part)

    def part_table(self, part: int) -> pl.DataFrame:
        """All rows of a finished part of this artifact; StoreError where it is missing or damaged."""
        found = self._finished_part(part)
        content = self.store.read(found.path)
        if sha256(content) != found.record.sha256:
            raise self._damaged_part(found, part)
        return pl.DataFrame(parquet_table(content))

    def finish_reasons(self, parts: int) -> Iterator[pl.Series]:
        """Why the completions of this artifact's finished parts ended, part by part."""
        for part in range(parts):
            yield self.part_table(part)["finish_reason"]

    @contextlib.contextmanager
    def _whole_inputs(self) -> Iterator[None]:
        """An input that turns out damaged is set aside, so that the next run makes it again."""
        try:
            yield
        except DamagedArtifact as damage:
            where = set_aside(self.store, damage.path)
            raise StoreError(f"{damage}; set aside at {where}: start the same command again") from None

    def add_rows(
        self, table: str, rows: Sequence[Mapping[str, Any]], more_columns: Sequence[NamedColumn] = ()
    ) -> None:
        """Write the rows of a table of the contract; a side table where it is not the stage's main one."""
        self.add_table(table, table_of(rows, schema_of(table, more_columns)))

    def add_table(self, table: str, content: pa.Table) -> None:
        """Write a table that has the contract's schema already."""
        self._writer.add_table(content, None if table == self.stage.kind else table)

    def add_part(self, part: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write one part of the stage's main table."""
        self._part_record = self._writer.write_part(table_of(rows, SCHEMAS[self.stage.kind]), part)

    def add_model(self, folder: Path) -> None:
        """Write a model directory."""
        self._writer.add_folder(folder)

    def gather(self, parts: int) -> None:
        """Take in all parts of the main table; StoreError where one is missing or damaged."""
        for part in range(parts):
            found = self._finished_part(part)
            try:
                self._writer.add_part(found)
            except DamagedPart:
                raise self._damaged_part(found, part) from None

    def _finished_part(self, part: int) -> FoundPart:
        found = finished.find_part(self.store, self.location, part)
        if found is None:
            raise StoreError(f"part {part} of {self.store.uri_of(self.location.path)} is not finished")
        return found

    def _damaged_part(self, found: FoundPart, part: int) -> StoreError:
        """Have it made again; the error that says so."""
        finished.set_part_aside(self.store, found, self.location, part)
        uri = self.store.uri_of(found.path)
        return StoreError(f"{uri} does not have the sha256 of its record: start the same command again")

    def adopt(self) -> bool:
        """Take over the artifact of another run in this store that has the same key, where there is one."""
        found = find_elsewhere(self.store, self.location)
        if found is None:
            return False
        source, manifest = found
        copies = [CopiedFile(f"{source.path}/{file.name}", file) for file in manifest.files]
        if not self._writer.add_copies(copies):
            self._writer.clear()
            self._writer = ArtifactWriter(self.store, self.location)
            return False
        self.figures |= manifest.figures
        self._writer.adopted_from = manifest.adopted_from or source.run
        self.log.info(f"{self.stage.name}: run {source.run!r} has made the same already; copied from there")
        return True

    def adopt_part(self, part: int) -> bool:
        """Take over a part from another run whose artifact has the same key, where there is one."""
        for copy in find_part_elsewhere(self.store, self.location, part):
            self._part_record = self._writer.copy_part(copy, part)
            if self._part_record is not None:
                return True
        return False

    def checkpoints(self) -> StoreCheckpoints:
        """The checkpoints of this stage's training."""
        return StoreCheckpoints(self.store, self.location)

    def commit_part(self, part: int) -> ArtifactRef:
        """Make the part exist."""
        if self._part_record is None:
            raise ValueError("a part was not written")
        return _part_ref(self.store, self._writer.commit_part(self._part_record, part))

    def clear_writers(self) -> None:
        """Remove what writers left that lost the lease of this stage or died."""
        clear_writers(self.store, self.location)

    def commit(self, inputs: Mapping[str, ArtifactRef]) -> ArtifactRef:
        """Make the artifact exist."""
        return self._writer.commit(
            kind=self.stage.kind,
            stage_version=self.stage.version,
            seed=self.seed,
            inputs=inputs,
            figures=self.figures,
            config=self._recorded_config.model_dump(mode="json"),
        )


def lease_path(location: Location, part: int | None = None) -> str:
    """Where the lease lies under which an artifact, or a part of it, is made."""
    return f"{location.work}/{LEASES}/{'stage' if part is None else f'part-{part:05d}'}"


def find_part(store: Store, location: Location, part: int) -> ArtifactRef | None:
    """A finished part of an artifact; None where it does not exist."""
    found = finished.find_part(store, location, part)
    return None if found is None else _part_ref(store, found)


def _part_ref(store: Store, found: FoundPart) -> ArtifactRef:
    record = found.record
    uri = store.uri_of(found.path)
    return ArtifactRef(uri=uri, digest=record.sha256, kind="part", rows=record.rows, bytes=record.bytes)
