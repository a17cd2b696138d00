"""Small artifacts for the tests of the store."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from data.schemas import SCHEMAS
from infra.artifacts.artifact import ArtifactRef, Location
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store
from infra.store.tables import table_of

TABLE = Location(run="a", iteration=1, stage="score_and_filter", key="k")
MODEL = Location(run="a", iteration=1, stage="train_solver", key="m")


def curriculum_rows(count: int) -> list[dict[str, Any]]:
    """Rows of a curriculum."""
    return [
        {
            "iteration": 1,
            "question_id": number,
            "prompt": [{"role": "user", "content": f"{number}+1"}],
            "question": f"{number}+1",
            "pseudo_label": str(number + 1),
            "p_hat": 0.5,
            "data_source": "rzero",
            "reward_model": {"style": "rule", "ground_truth": str(number + 1)},
            "extra_info": {"index": number, "split": "train"},
        }
        for number in range(count)
    ]


def commit(writer: ArtifactWriter, kind: str = "curriculum") -> ArtifactRef:
    """Make an artifact exist."""
    return writer.commit(kind=kind, stage_version=1, seed=3, inputs={}, figures={"n": 5}, config={})


def make_table(store: Store, rows: int = 5, location: Location = TABLE) -> ArtifactRef:
    """A committed table."""
    writer = ArtifactWriter(store, location)
    writer.add_table(table_of(curriculum_rows(rows), SCHEMAS["curriculum"]))
    return commit(writer)


def model_files(folder: Path, weights_bytes: int, seed: int = 0) -> Path:
    """A folder that looks like a model's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "none"}')
    (folder / "model.safetensors").write_bytes(random.Random(seed).randbytes(weights_bytes))
    return folder


def make_model(store: Store, folder: Path, location: Location = MODEL) -> ArtifactRef:
    """A committed model."""
    writer = ArtifactWriter(store, location)
    writer.add_folder(folder)
    return commit(writer, "model")
