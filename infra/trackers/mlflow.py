"""MLflow: the server at $MLFLOW_TRACKING_URI, else `<folder>/mlflow.db`."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from data.section import dotted
from infra.trackers.protocol import Row, TrackedRun, Tracker

if TYPE_CHECKING:
    from data.backends import MlflowConfig

_REFUSED = re.compile(r"[^\w./: -]", re.ASCII)
_LONGEST_PARAM = 500
_MOST_PARAMS = 100


class MlflowTracker(Tracker):
    """A run known by its tag `rzero.id`, since MLflow names its runs itself."""

    def __init__(self, config: MlflowConfig, run: TrackedRun) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.folder / 'mlflow.db'}"
        self._client = MlflowClient(uri)
        experiment = self._experiment(config.project, run, local=uri.startswith("sqlite:"))
        found = self._client.search_runs([experiment], f"tags.`rzero.id` = '{run.id}'")
        if not found:
            tags = {"rzero.id": run.id}
            found = [self._client.create_run(experiment, run_name=run.name, tags=tags)]
        self._id = found[0].info.run_id
        self._client.update_run(self._id, status="RUNNING")
        self._steps = {name: int(value) for name, value in found[0].data.metrics.items()}
        # A parameter is written once and for all: those that may change keep their first value.
        settings = {_name(name): _text(value) for name, value in dotted(run.config)}
        params = [Param(*each) for each in settings.items() if each[0] not in found[0].data.params]
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._id, params=params[first : first + _MOST_PARAMS])

    def last_step(self, series: str) -> int | None:
        return self._steps.get(_name(f"{series}/step"))

    def log(self, row: Row) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(_name(name), value, now, row.step) for name, value in row.named().items()]
        tags = [RunTag(_name(f"artifacts/{name}"), uri) for name, uri in row.links.items()]
        self._client.log_batch(self._id, metrics=metrics, tags=tags)

    def flush(self) -> None:
        """Nothing waits: each call is answered by the server or the database."""

    def close(self, finished: bool) -> None:
        if finished:
            self._client.set_terminated(self._id)

    def _experiment(self, project: str, run: TrackedRun, local: bool) -> str:
        known = self._client.get_experiment_by_name(project)
        if known is None:
            place = (run.folder / "mlflow-artifacts").as_uri() if local else None
            return str(self._client.create_experiment(project, artifact_location=place))
        return str(known.experiment_id)


def _name(name: str) -> str:
    """A name that MLflow takes: `pass@1` becomes `pass_at_1`."""
    return _REFUSED.sub("_", name.replace("@", "_at_"))


def _text(value: Any) -> str:
    """A setting as text that MLflow takes."""
    return (value if isinstance(value, str) else json.dumps(value))[:_LONGEST_PARAM]


open_backend = MlflowTracker
