"""Cards for a hub: YAML, then text that says what the store holds of an iteration, and nothing private."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from data import domains
from data.config import BaseModelConfig, RunConfig
from data.resolve import ConfigError, resolve
from data.schemas import description
from data.section import dotted
from flows.commands.results import partial_sets, result_rows, shown_rows
from flows.summary import FinishedStep
from flows.text import percent
from infra.artifacts.artifact import FileRecord, Manifest
from infra.artifacts.runs import may_differ
from tasks.publish.markdown import escaped, fenced

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_PLACE = re.compile(r"""://|\\|(^|[\s"'=:,\[])(/|~|\.{1,2}/)""")
Names = tuple[str | None, str | None]
"""What the model and its curriculum are called on the hub; None where they are not there."""


def render_card(
    what: str,
    config: RunConfig,
    steps: Sequence[FinishedStep],
    manifest: Manifest,
    files: Sequence[FileRecord],
    schema: pa.Schema | None,
    license: str | None,
    names: Names,
) -> str:
    """The card of a "solver", a "challenger" or, with its schema, a "curriculum" that these files are.

    `steps` are those of the run up to its iteration.
    """
    figures = {
        each.step.stage: each.manifest.figures
        for each in steps
        if each.manifest and each.step.iteration == manifest.iteration
    }
    prompt = domains.get(config.domain).solver("{question}", config.base_model.prompt_style)
    paths = [file.name.rpartition("/")[2] for file in files]
    head: dict[str, Any] = {"license": license, "tags": ["r-zero", "self-play", "grpo"]}
    if schema is not None:
        split = {"split": "train", "path": paths}
        head |= {"task_categories": ["text-generation"]}
        head |= {"configs": [{"config_name": "default", "data_files": [split]}]}
    else:
        head |= {"base_model": hub_name(config.base_model), "datasets": [names[1]] if names[1] else None}
        head |= {"library_name": "transformers", "pipeline_tag": "text-generation"}
    text = _templates().get_template("model.md" if schema is None else "curriculum.md").render(
        what=what,
        config=config,
        manifest=manifest,
        files=list(zip(paths, files, strict=True)),
        names=names,
        base=hub_name(config.base_model),
        scorings=[each for each in steps if each.step.stage == "score_and_filter" and each.manifest],
        scores=_scores(steps, manifest.iteration),
        partial=partial_sets(result_rows(steps)),
        scored=figures.get("score_and_filter", {}),
        reward_before=figures.get("train_challenger", {}).get("probe_reward_mean"),
        changed=changed_settings(config),
        prompt=prompt if isinstance(prompt, str) else json.dumps(prompt, indent=1, ensure_ascii=False),
        columns=[(each.name, each.type, description(schema, each.name)) for each in schema or ()],
    )  # fmt: skip
    known = {name: value for name, value in head.items() if value is not None}
    return f"---\n{yaml.safe_dump(known, sort_keys=False, allow_unicode=True)}---\n\n{text.strip()}\n"


@cache
def _templates() -> Environment:
    # The cards are Markdown: what comes from a store passes `escaped`, `code` or `fenced`.
    environment = Environment(
        loader=PackageLoader("flows.hub"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": _code, "escaped": escaped, "fenced": fenced, "known": _known}
    return environment


def _code(text: object) -> str:
    """A text as code within a cell of a table."""
    line = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`"


def _known(value: float | None, digits: int | None = None) -> str:
    """A count, a number with so many digits, or, with -1, a share in percent; None is not known."""
    if value is None or digits is None:
        return "not known" if value is None else f"{value:,}"
    return f"{value:.{digits}f}" if digits >= 0 else percent(value) or ""


def _scores(steps: Sequence[FinishedStep], iteration: int) -> list[dict[str, Any]]:
    """A row for each benchmark and measure, with `base` and `this`; [] if neither is measured."""
    rows = [row for row in result_rows(steps) if row["iteration"] in (0, iteration)]
    problems = {row["benchmark"]: row.get("problems") for row in rows}
    names = {"iteration 0": "base", f"iteration {iteration}": "this"}
    return [
        {"problems": problems.get(row["benchmark"]), "base": None, "this": None}
        | {names.get(name, name): value for name, value in row.items()}
        for row in shown_rows(rows)
    ]


def changed_settings(config: RunConfig) -> list[tuple[str, str]] | None:
    """Settings that differ from the preset of this version; None where it has none of that name."""
    try:
        preset = resolve(config.run, config.preset)
    except ConfigError:
        return None
    ours, theirs = (dict(dotted(each.model_dump(mode="json"))) for each in (config, preset))
    # Where it is computed, what stands elsewhere on the card, and what is filled in when a run begins.
    filled_in = ("evaluation.data", "challenger.examples.shown")
    silent = (*may_differ(config), "run", "preset", "seed", *filled_in)
    return [
        (name, public(value))
        for name, value in ours.items()
        if (name not in theirs or value != theirs[name])
        and not any(name == each or name.startswith(f"{each}.") for each in silent)
    ]


def public(value: Any) -> str:
    """A setting as JSON; what may be a path of this machine or an address within its network is left out."""
    text = json.dumps(value, ensure_ascii=False)
    return "(a path or an address, left out)" if _PLACE.search(text) else text


def hub_name(base: BaseModelConfig) -> str | None:
    """The base model's name on the hub; None where it has none, as far as is known."""
    is_folder = Path(base.name).expanduser().is_dir()
    return base.name if _HUB_NAME.fullmatch(base.name) and not is_folder else None
