"""`rzero lineage`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flows.commands.options import iteration_option, json_option, name_argument, open_run, store_option
from flows.text import duration, say, size
from infra.words import plural

if TYPE_CHECKING:
    from data.config import RunConfig
    from infra.artifacts.artifact import Location
    from infra.artifacts.lineage import Node, Source
    from infra.store.store import Store


@click.command()
@name_argument
@iteration_option
@click.option("--stage", required=True, help="The stage whose artifact is asked about.")
@store_option
@json_option
def lineage(run_name: str, iteration: int, stage: str, store: str | None, as_json: bool) -> None:
    """Show all that an artifact was made from.

    For each: when and where it was made, and whether it is still there.
    """
    show_lineage(*open_run(store, run_name), iteration, stage, as_json)


def show_lineage(store: Store, config: RunConfig, iteration: int, stage: str, as_json: bool = False) -> None:
    """Print where an artifact comes from. Raises ConfigError for what does not exist."""
    from flows.live.show import show_json
    from infra.artifacts.lineage import lineage, nodes, problems

    root = lineage(store, _locate(store, config, iteration, stage))
    assert root is not None
    wrong = problems(root)
    if as_json:
        show_json(_document(root, wrong))
        return
    for line in _tree(root):
        say(line)
    say("\nWhere they lie:")
    for node in nodes(root):
        say(node.uri)
    for problem in wrong:
        say(f"rzero: {problem}", err=True)


def _locate(store: Store, config: RunConfig, iteration: int, stage: str) -> Location:
    """The artifact that the run reaches; the newest of the stage where an input of it is gone."""
    from flows.summary import find_step, not_finished
    from infra.artifacts.lineage import newest_location

    step = find_step(store, config, iteration, stage).step
    found = step.location if step.ref else newest_location(store, config.run, iteration, stage)
    if found is None:
        raise not_finished(config, iteration, stage)
    return found


def _document(root: Node, wrong: list[str]) -> dict[str, Any]:
    """Every artifact once, its inputs by their paths."""
    from infra.artifacts.lineage import nodes

    artifacts = {
        node.location.path: {
            "run": node.location.run,
            "uri": node.uri,
            **node.manifest.model_dump(mode="json", exclude={"inputs", "config", "files", "figures"}),
            "damage": node.damage,
            "inputs": {
                source.name: {
                    "artifact": source.node.location.path if source.node else None,
                    "uri": source.used.uri,
                    "digest": source.used.digest,
                    "state": source.state,
                    "digest_now": source.digest_now,
                }
                for source in node.sources
            },
        }
        for node in nodes(root)
    }
    return {"artifact": root.location.path, "artifacts": artifacts, "problems": wrong}


def _tree(root: Node) -> Iterator[str]:
    """Lines for a person, that wrap beside the branches; what was shown above is not unfolded again."""
    from flows.live.show import width

    shown: set[str] = set()

    def wrapped(text: str, first: str, rest: str) -> list[str]:
        return textwrap.wrap(text, max(40, width()), initial_indent=first, subsequent_indent=rest)

    def lines(node: Node, label: str, head: str, indent: str) -> Iterator[str]:
        manifest, place = node.manifest, node.location
        title = f"{label}{place.stage}, iteration {place.iteration}: {manifest.kind} {manifest.digest[:12]}"
        below = f"{indent}│   " if node.sources and place.path not in shown else f"{indent}    "
        if place.path in shown:
            yield from wrapped(f"{title} (above)", head, below)
            return
        shown.add(place.path)
        yield from wrapped(title, head, below)
        rows = "" if manifest.rows is None else f"{plural(manifest.rows, 'row')}, "
        made = f"{rows}{size(manifest.bytes)}, {manifest.finished_at}, {duration(manifest.seconds)}"
        copied = f", copied from run {manifest.adopted_from!r}" if manifest.adopted_from else ""
        yield from wrapped(f"{made} on {manifest.host}{copied}", below, below)
        for source in node.sources:
            last = source is node.sources[-1]
            branch, inner = (f"{indent}└── ", f"{indent}    ") if last else (f"{indent}├── ", f"{indent}│   ")
            label = f"{source.name} = {_note(source)}"
            if source.node is None:
                yield f"{branch}{label}"
                yield f"{inner}{source.used.uri}"
            else:
                yield from lines(source.node, label, branch, inner)

    return lines(root, "", "", "")


def _note(source: Source) -> str:
    return {
        "there": "",
        "gone": "GONE:",
        "damaged": "DAMAGED: ",
        "other content": f"NOT WHAT WAS USED ({source.used.digest[:12]}): ",
    }[source.state]
