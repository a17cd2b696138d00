"""What a finished stage shows in Prefect's UI: key figures, a sample, a plot, and where its files are."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext

from infra.artifacts.artifact import ArtifactRef, Manifest, manifest_of, table_files, table_folders
from tasks.publish.markdown import escaped, sample_of_questions
from tasks.publish.plots import draw_stage, image_uri
from tasks.publish.progress import artifact_key
from tasks.stage.work import Work


def publish_stage(work: Work, ref: ArtifactRef) -> None:
    """Show a finished stage; does nothing outside a flow run.

    The artifact already exists, so a failure to show something is logged and never fails the stage.
    """
    if FlowRunContext.get() is None:
        return
    for publish in (_figures, _questions, _plot, _files):
        try:
            publish(work, ref)
        except Exception as error:
            work.log.warning(
                f"{work.stage.name}: its {publish.__name__[1:]} could not be shown in Prefect: {error}"
            )


def _figures(work: Work, ref: ArtifactRef) -> None:
    rows = [
        {"figure": name, "value": _shown(value)}
        for name, value in work.figures.items()
        if not isinstance(value, list)
    ]
    if ref.rows is not None:
        rows.append({"figure": "rows", "value": _shown(ref.rows)})
    rows.append({"figure": "megabytes", "value": _shown(ref.bytes / 1e6)})
    create_table_artifact(rows, artifact_key(work, "figures"), f"Key figures of {_title(work)}")


def _questions(work: Work, ref: ArtifactRef) -> None:
    if work.stage.name == "score_and_filter":
        text = (
            f"### Questions of {escaped(work.location.run)}, iteration {work.iteration}\n\n"
            + sample_of_questions(work.table(ref))
        )
        create_markdown_artifact(
            text, artifact_key(work, "questions"), "A sample of the questions with their votes"
        )


def _plot(work: Work, ref: ArtifactRef) -> None:
    drawn = draw_stage(work.stage.name, lambda side_table: work.table(ref, side_table))
    if drawn is not None:
        figure, caption = drawn
        create_image_artifact(image_uri(figure), artifact_key(work, "plot"), f"{_title(work)}: {caption}")


def _files(work: Work, ref: ArtifactRef) -> None:
    text = "\n".join(_file_lines(work, ref, manifest_of(work.store, ref)))
    create_markdown_artifact(text, artifact_key(work, "files"), f"Where {_title(work)} lies")


def _file_lines(work: Work, ref: ArtifactRef, manifest: Manifest) -> Iterator[str]:
    place = f"file://{ref.uri}" if work.store.is_local else ref.uri
    yield f"### Files of {work.stage.name}, iteration {work.iteration} of {escaped(work.location.run)}"
    size = f"{ref.bytes / 1e6:,.3f} MB"
    yield f"\n[The folder](<{place}>) has {size}; the sha256 of its content is {ref.digest}."
    lines = [f"folder = {json.dumps(ref.uri)}"]
    folders = table_folders(manifest)
    for folder in folders:
        rows = sum(file.rows or 0 for file in table_files(manifest, folder.strip("/") or None))
        name = folder.strip("/") or manifest.kind
        lines.append(f'pl.scan_parquet(f"{{folder}}{folder}/part-*.parquet")  # {name}, {rows:,} rows')
    if manifest.kind == "model":
        lines.append("AutoModelForCausalLM.from_pretrained(folder)")
    yield "\n".join(["\n```python", *lines, "```"])
    if folders:
        show = f"rzero inspect {work.location.run} --iteration {work.iteration} --stage {work.stage.name}"
        yield f"\n```\n{show} --store {shlex.quote(work.store.uri)}\n```"


def _title(work: Work) -> str:
    return f"{work.stage.name}, iteration {work.iteration} of {work.location.run}"


def _shown(value: Any) -> str:
    """A figure for people, with numbers kept short."""
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
