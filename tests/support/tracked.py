"""What the real trackers hold of a run, read back from their files as their own tools read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Held:
    """Values by full name as (step, value), in the order in which they lie there; all else as text."""

    values: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    text: str = ""

    def steps(self, series: str) -> list[int]:
        """The steps of a series, in their order."""
        return [step for step, _ in self.values.get(f"{series}/step", [])]

    def add(self, name: str, step: int, value: float) -> None:
        """One value."""
        self.values.setdefault(name, []).append((step, value))


def tensorboard(folder: Path, run: str) -> Held:
    """From its event files, in the order of their names, which is that of their processes."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    held = Held()
    for file in sorted(folder.glob(f"tensorboard/{run}-*/events.*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    held.add(value.tag, event.step, value.simple_value)
                elif value.WhichOneof("value") == "tensor":
                    held.text += f"{value.tag}: {value.tensor.string_val[0].decode()}\n"
    return held


def mlflow(folder: Path, run: str) -> Held:
    """From its database; there is one run of the name."""
    from mlflow import MlflowClient

    client, held = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"), Held()
    experiment = client.get_experiment_by_name("rzero")
    assert experiment is not None
    (found,) = [each for each in client.search_runs([experiment.experiment_id]) if each.info.run_name == run]
    for name in found.data.metrics:
        for metric in client.get_metric_history(found.info.run_id, name):
            held.add(name, metric.step, metric.value)
    held.text = json.dumps({**found.data.params, **found.data.tags, "status": found.info.status})
    return held


def wandb(folder: Path, run: str) -> Held:
    """From its offline files, whose names are in the order of their processes."""
    from infra.trackers.wandb import records_of

    held = Held()
    for file in sorted(folder.glob(f"wandb/offline-run-*-{run}-*/*.wandb")):
        for record in records_of(file):
            items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
            for name, value in items.items():
                series = name.rpartition("/")[0]
                if series:
                    held.add(name, int(json.loads(items[f"{series}/step"])), json.loads(value))
            for item in (*record.run.config.update, *record.summary.update):
                held.text += f"{item.key or item.nested_key}: {item.value_json}\n"
    return held


def trackio(folder: Path, run: str) -> Held:
    """From its database."""
    import sqlite3

    held = Held()
    with sqlite3.connect(folder / "trackio" / "rzero.db") as database:
        rows = database.execute("SELECT run_name, metrics FROM metrics ORDER BY step").fetchall()
        held.text = str(database.execute("SELECT * FROM configs").fetchall())
    for name, text in rows:
        if name.startswith(f"{run}-"):
            values: dict[str, Any] = json.loads(text)
            held.text += json.dumps(values)
            for key, value in values.items():
                if isinstance(value, int | float):
                    held.add(key, int(values[f"{key.rpartition('/')[0]}/step"]), value)
    return held


READERS: dict[str, Callable[[Path, str], Held]] = {
    "tensorboard": tensorboard,
    "mlflow": mlflow,
    "wandb": wandb,
    "trackio": trackio,
}
