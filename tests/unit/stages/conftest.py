"""A run whose stages are finished with small files: for tests of what reads the store alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data.config import RunConfig
from infra.artifacts.artifact import ArtifactRef, Location
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store
from tasks.stage.graph import STAGES
from tasks.stage.walk import Step, outcome_of, walk

Finish = Callable[..., list[Location]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def inputs_of(config: RunConfig, steps: list[Step], step: Step) -> dict[str, ArtifactRef]:
    """The inputs of a step, from the steps before it."""
    found = {}
    for name, source in STAGES[step.stage].inputs_in(config, step.iteration).items():
        iteration = step.iteration - source.before
        ref = outcome_of([each for each in steps if each.iteration == iteration]).get(source.made_as)
        assert ref is not None
        found[name] = ref
    return found


@pytest.fixture
def finish(store: Store, tmp_path: Path) -> Finish:
    """finish(config, iterations, stages): commit the next so many unfinished stages; where they lie."""

    def run(config: RunConfig, iterations: int, stages: int) -> list[Location]:
        made = []
        for _ in range(stages):
            steps = walk(store, config, iterations)
            step = next(step for step in steps if step.ref is None)
            assert step.location is not None
            writer = ArtifactWriter(store, step.location)
            folder = tmp_path / "files"
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(f"{step.iteration} {step.stage}")
            writer.add_folder(folder)
            stage = STAGES[step.stage]
            writer.commit(
                kind=stage.kind,
                stage_version=stage.version,
                seed=0,
                inputs=inputs_of(config, steps, step),
                figures={},
                config={},
            )
            made.append(step.location)
        return made

    return run
