"""The batches that fitted into memory, kept for the rest of a run.

    <store>/runs/<run>/_work/batches/<kind>.json      {"halvings": 1, "batch_tokens": 8192}

A hint and no artifact: without it, or where it is damaged, the sizes are those of the configuration, and
whoever writes last is right. Every training is a kind of its own, all sampling is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from data.config import RunConfig
from data.section import Section
from infra.artifacts.artifact import WORK
from infra.store.store import Store, StoreError
from tasks.stage.graph import Stage

_MOST_HALVINGS = 64


class Batches(BaseModel):
    """How much smaller than configured they are."""

    model_config = ConfigDict(strict=True, frozen=True)

    halvings: int = Field(default=0, ge=0, le=_MOST_HALVINGS)
    batch_tokens: PositiveInt | None = None
    """Of the sampler `transformers`, which makes its batches smaller by itself; None: as configured."""

    def of(self, config: RunConfig) -> RunConfig:
        """The configuration with batches of these sizes, which affect nothing but rounding."""
        for _ in range(self.halvings):
            config = halved(config)
        if (most := self.batch_tokens) is None:
            return config
        sampler = _changed(config.sampler, "batch_tokens", lambda size: min(size, most))
        return config.model_copy(update={"sampler": sampler})


def read_batches(store: Store, run: str, stage: Stage) -> Batches:
    """What fitted when this run did the same kind of work before."""
    content = store.get(_path(run, stage))
    try:
        return Batches.model_validate_json(content) if content is not None else Batches()
    except ValidationError:
        return Batches()


def write_batches(store: Store, run: str, stage: Stage, batches: Batches) -> None:
    """Keep what fitted."""
    with contextlib.suppress(StoreError):
        store.put(_path(run, stage), batches.model_dump_json(exclude_none=True).encode())


def halved(config: RunConfig) -> RunConfig:
    """The configuration with batches of half the size, where they affect nothing but rounding."""
    parts = {"challenger": "micro_batch_size", "solver": "micro_batch_size", "sampler": "batch_tokens"}
    return config.model_copy(
        update={
            name: _changed(getattr(config, name), setting, lambda size: max(1, size // 2))
            for name, setting in parts.items()
        }
    )


def _changed(section: Section, setting: str, change: Callable[[int], int]) -> Section:
    """The section with another size, if it has that setting."""
    if setting not in type(section).model_fields:
        return section
    return section.model_copy(update={setting: change(getattr(section, setting))})


def _path(run: str, stage: Stage) -> str:
    kind = stage.name if "trainer" in stage.reads else "sampling"
    return f"runs/{run}/{WORK}/batches/{kind}.json"
