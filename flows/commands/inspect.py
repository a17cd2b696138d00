"""`rzero inspect`."""

from __future__ import annotations

import json
from typing import Any

import click
import polars as pl

from data.config import RunConfig
from data.resolve import ConfigError
from data.schemas import SCHEMAS, description
from infra.artifacts.artifact import ArtifactRef, read_manifest, read_table, table_files
from infra.store.store import Store
from tasks.stage.graph import STAGES, stage_names, walk

_STAGE_OF_TABLE = {stage.kind: name for name, stage in STAGES.items() if stage.kind in SCHEMAS}
_SIDE_TABLES = {
    "curriculum": "score_and_filter",
    "overlaps": "score_and_filter",
    "memory": "score_and_filter",
    "probe": "train_challenger",
}


def inspect_command(
    store: Store,
    config: RunConfig,
    iteration: int,
    stage: str,
    table: str | None,
    sql: str | None,
    limit: int,
    only_columns: bool,
    as_json: bool,
) -> None:
    """Print a table of a run. Raises ConfigError for what does not exist."""
    ref, name = _find(store, config, iteration, stage, table)
    side_table = None if name == ref.kind else name
    if only_columns:
        schema = SCHEMAS[name]
        for column in schema.names:
            click.echo(f"{column:24} {schema.field(column).type!s:10} {description(schema, column)}")
        return
    frame: Any = pl.from_arrow(read_table(store, ref, side_table))
    if sql is not None:
        try:
            frame = frame.sql(sql)
        except pl.exceptions.PolarsError as error:
            raise ConfigError(f"--sql: {str(error).splitlines()[0]}") from None
    if as_json:
        click.echo(json.dumps(frame.to_dicts(), indent=1, ensure_ascii=False))
        return
    with pl.Config(
        tbl_rows=limit, tbl_cols=-1, fmt_str_lengths=48, tbl_width_chars=-1, tbl_hide_dataframe_shape=True
    ):
        click.echo(str(frame.head(limit)))
    folder = ref.uri if side_table is None else f"{ref.uri}/{side_table}"
    click.echo(f"{frame.height} rows; pl.scan_parquet({folder + '/part-*.parquet'!r})")


def _find(
    store: Store, config: RunConfig, iteration: int, stage: str, table: str | None
) -> tuple[ArtifactRef, str]:
    """The artifact and the name of the table within it."""
    wanted = _STAGE_OF_TABLE.get(stage) or _SIDE_TABLES.get(stage) or stage
    if wanted not in STAGES:
        known = [*STAGES, *_STAGE_OF_TABLE, *_SIDE_TABLES]
        raise ConfigError(f"--stage: there is no stage or table {stage!r}; there are: {', '.join(known)}")
    if iteration < 0 or wanted not in stage_names(iteration):
        raise ConfigError(f"--iteration: there is no {wanted} in iteration {iteration}")
    steps = walk(store, config, iteration)
    step = next(step for step in steps if step.iteration == iteration and step.stage == wanted)
    if step.ref is None or step.location is None:
        raise ConfigError(f"{wanted} of iteration {iteration} of {config.run!r} is not finished")
    manifest = read_manifest(store, step.location)
    assert manifest is not None
    tables = {
        file.name.rpartition("/")[0] or step.ref.kind
        for file in manifest.files
        if file.name.endswith(".parquet")
    }
    name = table or (stage if stage in _SIDE_TABLES else step.ref.kind)
    if name not in tables and table is None and "metrics" in tables:
        name = "metrics"
    if name not in tables or not table_files(manifest, None if name == step.ref.kind else name):
        raise ConfigError(
            f"--table: {wanted} has no table {name!r}; it has: {', '.join(sorted(tables)) or 'none'}"
        )
    return step.ref, name
