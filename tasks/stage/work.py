"""The work of one stage while it is made: its inputs, its seed, its writer, its key figures."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa

from data.config import RunConfig
from data.schemas import SCHEMAS, NamedColumn, schema_of
from data.seeds import derive_seed
from infra.artifacts.adopt import copy_files, find_elsewhere, find_part_elsewhere
from infra.artifacts.artifact import (
    ArtifactRef,
    DamagedArtifact,
    FileRecord,
    Location,
    manifest_of,
    read_table,
    sha256,
    table_files,
)
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.artifacts.damage import find_part_record, part_record_path, set_aside
from infra.artifacts.models import model_folder
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store, StoreError
from infra.store.tables import parquet_table, table_of
from tasks.stage.graph import STAGES, stage_seed
from tasks.stage.view import View


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
        self.log = _logger()
        self._recorded_config = config
        self._writer = ArtifactWriter(store, location)
        self._part_record: FileRecord | None = None

    def begin_again(self, config: RunConfig, figures: Mapping[str, Any]) -> None:
        """Forget what was written so far, and go on with settings that the manifest does not record."""
        self._set_config(config)
        self.figures = dict(figures)
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

    def part_table(self, part: ArtifactRef) -> pl.DataFrame:
        """All rows of a finished part; StoreError where it is not what its record says."""
        content = self.store.read(self.store.path_of(part.uri))
        if sha256(content) != part.digest:
            raise StoreError(f"{part.uri} does not have the sha256 of its record; remove it to make it again")
        return pl.DataFrame(parquet_table(content))

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
        self._part_record = self._writer.add_table(table_of(rows, SCHEMAS[self.stage.kind]), part=part)

    def add_model(self, folder: Path) -> None:
        """Write a model directory."""
        self._writer.add_folder(folder)

    def gather(self, parts: int) -> None:
        """Take in all parts of the main table; StoreError where one is missing or damaged."""
        for part in range(parts):
            record = find_part_record(self.store, self.location, part)
            if record is None:
                raise StoreError(f"part {part} of {self.store.uri_of(self.location.path)} is not finished")
            self._writer.add_record(record.model_copy(update={"seconds": None}))
            self._writer.part_seconds += record.seconds or 0.0

    def adopt(self) -> bool:
        """Take over the artifact of another run in this store that has the same key, where there is one."""
        found = find_elsewhere(self.store, self.location)
        if found is None:
            return False
        source, manifest = found
        if not copy_files(self.store, source, self.location, list(manifest.files)):
            return False
        for file in manifest.files:
            self._writer.add_record(file)
        self.figures |= manifest.figures
        self._writer.adopted_from = manifest.adopted_from or source.run
        self.log.info(f"{self.stage.name}: run {source.run!r} has made the same already; copied from there")
        return True

    def adopt_part(self, part: int) -> bool:
        """Take over a part from another run whose artifact has the same key, where there is one."""
        found = find_part_elsewhere(self.store, self.location, part)
        if found is None:
            return False
        source, record = found
        if not copy_files(self.store, source, self.location, [record]):
            return False
        self._part_record = record
        return True

    def checkpoints(self) -> StoreCheckpoints:
        """The checkpoints of this stage's training."""
        return StoreCheckpoints(self.store, self.location)

    def commit_part(self, part: int) -> ArtifactRef:
        """Make the part exist."""
        if self._part_record is None:
            raise ValueError("a part was not written")
        seconds = round((datetime.now(UTC) - self._writer.started_at).total_seconds(), 3)
        timed = self._part_record.model_copy(update={"seconds": seconds})
        content = timed.model_dump_json(indent=1).encode()
        self.store.create(part_record_path(self.location, part), content)
        found = find_part(self.store, self.location, part)
        if found is None:
            raise StoreError(f"part {part} of {self.store.uri_of(self.location.path)} is gone")
        return found

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


def find_part(store: Store, location: Location, part: int) -> ArtifactRef | None:
    """A finished part of an artifact; None where it does not exist."""
    record = find_part_record(store, location, part)
    if record is None:
        return None
    return ArtifactRef(
        uri=store.uri_of(f"{location.path}/{record.name}"),
        digest=record.sha256,
        kind="part",
        rows=record.rows,
        bytes=record.bytes,
    )


def _logger() -> Any:
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("rzero")
