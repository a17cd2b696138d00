"""`rzero lineage`."""

from __future__ import annotations

import json
from typing import Any

import click

from data.config import RunConfig
from data.resolve import ConfigError
from infra.artifacts.artifact import Location
from infra.artifacts.lineage import Node, Source, lineage, newest_location, nodes, problems
from infra.store.store import Store
from tasks.stage.graph import STAGES, stage_names, walk


def lineage_command(store: Store, config: RunConfig, iteration: int, stage: str, as_json: bool) -> None:
    """Print where an artifact comes from. Raises ConfigError for what does not exist."""
    root = lineage(store, _locate(store, config, iteration, stage))
    assert root is not None
    wrong = problems(root)
    if as_json:
        click.echo(json.dumps(_document(root, wrong), indent=1))
        return
    for line in _tree(root):
        click.echo(line)
    for problem in wrong:
        click.echo(f"rzero: {problem}", err=True)


def _locate(store: Store, config: RunConfig, iteration: int, stage: str) -> Location:
    """The artifact that the run reaches; the newest of the stage where an input of it is gone."""
    if stage not in STAGES:
        raise ConfigError(f"--stage: there is no stage {stage!r}; there are: {', '.join(STAGES)}")
    if iteration < 0 or stage not in stage_names(iteration):
        raise ConfigError(f"--iteration: there is no {stage} in iteration {iteration}")
    steps = walk(store, config, iteration)
    step = next(step for step in steps if step.iteration == iteration and step.stage == stage)
    if step.ref is not None and step.location is not None:
        return step.location
    found = newest_location(store, config.run, iteration, stage)
    if found is None:
        raise ConfigError(f"{stage} of iteration {iteration} of {config.run!r} is not finished")
    return found


def _document(root: Node, wrong: list[str]) -> dict[str, Any]:
    """Every artifact once, with its inputs by the path of theirs."""
    artifacts = {}
    for node in nodes(root):
        manifest = node.manifest.model_dump(mode="json", exclude={"inputs", "config", "files", "figures"})
        inputs = {
            source.name: {
                "artifact": source.node.location.path if source.node else None,
                "uri": source.used.uri,
                "digest": source.used.digest,
                "state": source.state,
                "digest_now": source.digest_now,
            }
            for source in node.sources
        }
        artifacts[node.location.path] = {
            "run": node.location.run,
            "uri": node.uri,
            **manifest,
            "damage": node.damage,
            "inputs": inputs,
        }
    return {"artifact": root.location.path, "artifacts": artifacts, "problems": wrong}


def _tree(root: Node) -> list[str]:
    """Lines for a person; what was shown above is not unfolded again."""
    lines: list[str] = []
    shown: set[str] = set()

    def add(node: Node, head: str, indent: str) -> None:
        manifest, place = node.manifest, node.location
        made = f"{manifest.finished_at}, {manifest.seconds:g} s on {manifest.host}"
        if manifest.adopted_from:
            made += f", copied from run {manifest.adopted_from!r}"
        rows = "" if manifest.rows is None else f", {manifest.rows} rows"
        title = f"{place.stage}, iteration {place.iteration}: {manifest.kind} {manifest.digest[:12]}"
        if place.path in shown:
            lines.append(f"{head}{title} (above)")
            return
        shown.add(place.path)
        lines.append(f"{head}{title}{rows}, {manifest.bytes} bytes, {made}")
        lines.append(f"{indent}{'│' if node.sources else ' '}   {node.uri}")
        for source in node.sources:
            last = source is node.sources[-1]
            branch, below = (f"{indent}└── ", f"{indent}    ") if last else (f"{indent}├── ", f"{indent}│   ")
            note = _note(source)
            if source.node is None:
                lines.append(f"{branch}{source.name} = {note} {source.used.uri}")
            else:
                add(source.node, f"{branch}{source.name} = {note}", below)

    add(root, "", "")
    return lines


def _note(source: Source) -> str:
    return {
        "there": "",
        "gone": "GONE:",
        "damaged": "DAMAGED: ",
        "other content": f"NOT WHAT WAS USED ({source.used.digest[:12]}): ",
    }[source.state]
