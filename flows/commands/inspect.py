"""`rzero inspect`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from flows.commands.options import json_option, name_argument, open_run, store_option
from flows.text import say
from infra.words import plural

if TYPE_CHECKING:
    from data.config import RunConfig
    from infra.artifacts.artifact import ArtifactRef
    from infra.store.store import Store

_LONGEST, _SHORTEST = 40, 12
"""Between these a text is cut, so that as many columns as can stand beside each other."""
_KEYS = frozenset(("benchmark", "iteration", "step", "group", "problem_id", "question_id", "sample"))
"""Columns that say which row it is."""


@click.command()
@name_argument
@click.option("--iteration", type=int, help="Number of the iteration; 0 is the base model.")
@click.option(
    "--stage",
    help="A stage (score_and_filter, train_solver ...) or a table (scored, curriculum ...).  "
    "[default: a list of the tables]",
)
@click.option("--table", help="A side table of the stage: rollouts, metrics, probe, curriculum.")
@click.option("--sql", help="A query over the table `self`: 'SELECT question, p_hat FROM self WHERE kept'.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Rows to show.")
@click.option("--wide", is_flag=True, help="All columns, with whole texts, as wide as they are.")
@click.option("--columns", "only_columns", is_flag=True, help="Only what the columns mean.")
@store_option
@json_option
def inspect(
    run_name: str,
    iteration: int | None,
    stage: str | None,
    table: str | None,
    sql: str | None,
    limit: int,
    wide: bool,
    only_columns: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Show a table of a run and where it lies, or list the tables.

    Without --stage: the tables of all iterations, or of --iteration.
    """
    from data.resolve import ConfigError
    from flows.live.show import show_json, tell

    place, config = open_run(store, run_name)
    if stage is None:
        _list_tables(place, config, iteration, as_json)
        return
    if iteration is None:
        raise ConfigError("--iteration: say of which iteration")
    ref, folder = _find(place, config, iteration, stage, table)
    if only_columns:
        _show_columns(place, ref, folder)
        return
    frame = _read(place, ref, folder, sql)
    if as_json:
        show_json(frame.to_dicts())
        return
    _show_rows(frame.head(limit).to_dicts(), wide)
    tell(f"{plural(frame.height, 'row')}; to read them with polars:")
    say(f"pl.scan_parquet({f'{ref.uri}{folder}/part-*.parquet'!r})")


def _list_tables(store: Store, config: RunConfig, iteration: int | None, as_json: bool) -> None:
    from flows.live.show import show_json, show_table, tell
    from flows.summary import read_steps
    from infra.artifacts.artifact import table_files, table_folders

    rows: list[dict[str, Any]] = []
    for item in read_steps(store, config):
        step, manifest = item.step, item.manifest
        if manifest is None or step.ref is None or iteration not in (None, step.iteration):
            continue
        for folder in table_folders(manifest):
            files = table_files(manifest, folder.removeprefix("/") or None)
            rows.append(
                {
                    "iteration": step.iteration,
                    "stage": step.stage,
                    "table": folder.removeprefix("/") or manifest.kind,
                    "rows": sum(file.rows or 0 for file in files),
                    "bytes": sum(file.bytes for file in files),
                    "uri": f"{step.ref.uri}{folder}/part-*.parquet",
                }
            )
    if as_json:
        show_json(rows)
    elif not rows:
        tell(f"no table of {config.run} is finished")
    else:
        shown = [{name: value for name, value in row.items() if name != "uri"} for row in rows]
        show_table(shown, f"{config.run} in {store.uri}")
        tell(f"Show one: rzero inspect {config.run} --iteration {rows[-1]['iteration']} --stage scored")
        tell("Where they lie: with --json, or below the rows of each.")


def _find(
    store: Store, config: RunConfig, iteration: int, stage: str, table: str | None
) -> tuple[ArtifactRef, str]:
    """The artifact, and the table's folder in it ("" for the main table)."""
    from data.resolve import ConfigError
    from data.schemas import SCHEMAS
    from flows.summary import finished_artifact
    from infra.artifacts.artifact import table_folders
    from tasks.stage.graph import STAGES, stages_of_table

    # Tables of several stages, such as `metrics`, need their stage.
    stage_of_table = {table: makers[0] for table in SCHEMAS if len(makers := stages_of_table(table)) == 1}
    if stage not in STAGES and stage not in stage_of_table:
        known = ", ".join((*STAGES, *stage_of_table))
        raise ConfigError(f"--stage: there is no stage or table {stage!r}; there are: {known}")
    wanted = stage_of_table.get(stage, stage)
    ref, manifest = finished_artifact(store, config, iteration, wanted)
    tables = {folder.removeprefix("/") or ref.kind: folder for folder in table_folders(manifest)}
    name = table or (stage if stage in stage_of_table else ref.kind)
    if name not in tables and table is None and "metrics" in tables:
        name = "metrics"
    if name not in tables:
        there = ", ".join(sorted(tables)) or "none"
        raise ConfigError(f"--table: {wanted} has no table {name!r}; it has: {there}")
    return ref, tables[name]


def _show_columns(store: Store, ref: ArtifactRef, folder: str) -> None:
    from data.schemas import description
    from flows.live.show import show_table
    from infra.artifacts.artifact import read_table

    schema = read_table(store, ref, folder.removeprefix("/") or None).schema
    show_table(
        [
            {"column": each.name, "type": str(each.type), "meaning": description(schema, each.name)}
            for each in schema
        ]
    )


def _read(store: Store, ref: ArtifactRef, folder: str, sql: str | None) -> Any:
    """The table as a frame of polars, or what a query makes of it."""
    import polars as pl

    from flows.query import run_query
    from infra.artifacts.artifact import read_table

    frame: Any = pl.from_arrow(read_table(store, ref, folder.removeprefix("/") or None))
    return frame if sql is None else run_query(frame, sql)


def _show_rows(rows: Sequence[dict[str, Any]], wide: bool) -> None:
    """Print rows in one table: with long texts cut and as many columns as fit, or all as wide as it is."""
    from flows.live.show import cut, fits, show_table, tell

    names = list(rows[0]) if rows else []
    keys = max(1, sum(1 for _ in itertools.takewhile(_KEYS.__contains__, names)))
    if wide:
        show_table(rows, keys=keys, wide=True)
        return

    def shown(count: int, longest: int) -> list[dict[str, Any]]:
        return [{name: cut(row[name], longest) for name in names[:count]} for row in rows]

    sizes = itertools.product(range(len(names), 0, -1), (_LONGEST, 24, _SHORTEST))
    count, longest = next((size for size in sizes if fits(shown(*size))), (keys, _SHORTEST))
    table = shown(count, longest)
    show_table(table, keys=keys)
    is_cut = any(str(value).endswith("…") for row in table for value in row.values())
    if left := names[count:]:
        tell(f"Not shown: {', '.join(left)}.")
    if left or is_cut:
        tell("--wide shows every column and whole texts; --json too.")
