"""The card of a finished stage in Prefect's UI: a plot, a sample, key figures, and where its files are."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from infra.artifacts.artifact import ArtifactRef, manifest_of, table_files, table_folders
from tasks.publish.assets import describe_asset
from tasks.publish.markdown import escaped, fenced, sample_of_questions
from tasks.publish.plots import draw_stage, image
from tasks.publish.progress import end_progress, stage_key
from tasks.publish.shown import in_flow_run, show
from tasks.stage.work import Work


def publish_stage(work: Work, ref: ArtifactRef) -> None:
    """Show a finished stage in place of its progress; does nothing outside a flow run.

    The artifact already exists, so a failure to show something is logged and never fails the stage.
    """
    if not in_flow_run():
        return
    try:
        describe_asset(work, ref)
        title = f"{work.stage.name}, iteration {work.iteration} of {work.location.run}"
        text = "\n\n".join([f"### {escaped(title)}", *_sections(work, ref)])
        show("markdown", stage_key(work), text, title)
        end_progress(work)
    except Exception as error:
        work.log.warning(f"{work.stage.name} could not be shown in Prefect: {error}")


def _sections(work: Work, ref: ArtifactRef) -> Iterator[str]:
    """Each section that can be made; one that cannot is a warning."""
    for section in (_plot, _questions, _figures, _files):
        try:
            yield from section(work, ref)
        except Exception as error:
            work.log.warning(f"{work.stage.name}: its {section.__name__[1:]} could not be shown: {error}")


def _figures(work: Work, ref: ArtifactRef) -> Iterator[str]:
    figures = {name: value for name, value in work.figures.items() if not isinstance(value, list)}
    if ref.rows is not None:
        figures["rows"] = ref.rows
    figures["megabytes"] = ref.bytes / 1e6
    rows = [f"| {escaped(name)} | {escaped(_shown(value))} |" for name, value in figures.items()]
    yield "\n".join(["| figure | value |", "|---|---:|", *rows])


def _plot(work: Work, ref: ArtifactRef) -> Iterator[str]:
    drawn = draw_stage(work.stage.name, lambda side_table: work.table(ref, side_table))
    if drawn is not None:
        yield image(*drawn)


def _questions(work: Work, ref: ArtifactRef) -> Iterator[str]:
    if work.stage.name == "score_and_filter":
        yield sample_of_questions(work.table(ref))


def _files(work: Work, ref: ArtifactRef) -> Iterator[str]:
    yield f"{ref.bytes / 1e6:,.3f} MB; the sha256 of the content is {ref.digest}."
    manifest, run = manifest_of(work.store, ref), work.location.run
    folders = table_folders(manifest)
    lines = ["import polars as pl", "", f"folder = {json.dumps(ref.uri)}"] if folders else []
    for folder in folders:
        rows = sum(file.rows or 0 for file in table_files(manifest, folder.strip("/") or None))
        name = folder.strip("/") or manifest.kind
        lines.append(f'{name} = pl.read_parquet(f"{{folder}}{folder}/part-*.parquet")  # {rows:,} rows')
    if manifest.kind == "model" and work.store.is_local:
        lines = ["from transformers import AutoModelForCausalLM", *lines, ""]
        lines.append(f"model = AutoModelForCausalLM.from_pretrained({json.dumps(ref.uri)})")
    if lines:
        yield fenced("\n".join(lines), "python")
    where = f"{run} --iteration {work.iteration} --store {shlex.quote(work.store.uri)}"
    commands = [f"rzero inspect {where} --stage {work.stage.name}"] if folders else []
    if manifest.kind == "model":
        model = " --model challenger" if work.stage.name == "train_challenger" else ""
        commands.append(f"rzero export {where}{model} --to {run}-model")
    yield fenced("\n".join(commands))


def _shown(value: Any) -> str:
    """A figure for people, with numbers kept short."""
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
