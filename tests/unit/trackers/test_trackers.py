"""Each tracker, with its real library: rows written by several processes, read back from its files."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from data.backends import MlflowConfig, TensorboardConfig, TrackerConfig, WandbConfig
from data.resolve import ConfigError, resolve
from flows.start import begin
from infra.artifacts.runs import freeze_run, load_run
from infra.store.store import Store
from infra.trackers.open import tracked_run
from infra.trackers.outlet import Outlet
from infra.trackers.protocol import Row
from tasks.stage.graph import locate
from tests.support.tracked import READERS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow  # a tracker's library takes seconds to import, in a process of its own


def config_of(backend: str) -> Any:
    """The tracker's settings; skips the test where its library is not installed."""
    config = TypeAdapter(TrackerConfig).validate_python({"backend": backend})
    pytest.importorskip(config.package, reason=f"pip install 'rzero[{backend}]'")
    return config


class Tracked:
    """A run in a store, and a tracker that it opens anew as often as it is asked."""

    def __init__(self, folder: Path, tracker: Any) -> None:
        self.store, self.tracker = Store(str(folder / "store")), tracker
        self.config = resolve("first", overrides={"trackers": [tracker.model_dump()]}, store=self.store.uri)
        self.folder = folder / "store" / "trackers"
        self.warnings: list[str] = []

    def open(self, **settings: Any) -> Outlet:
        return Outlet(
            self.tracker,
            tracked_run(self.store, self.config, self.tracker),
            self.warnings.append,
            **settings,
        )

    def log(self, *rows: Row, finished: bool = False) -> None:
        outlet = self.open()
        for row in rows:
            outlet.put(row)
        outlet.close(finished, deadline_seconds=300.0)


def steps(*numbers: int, series: str = "train_solver") -> list[Row]:
    """Rows of a training."""
    return [Row(series, number, {"reward_mean": number / 8, "kl": 0.5}) for number in numbers]


@pytest.mark.parametrize("backend", READERS)
def test_a_tracker_holds_each_step_once_and_in_order_whichever_process_reports_it(
    backend: str, tmp_path: Path
) -> None:
    tracked = Tracked(tmp_path, config_of(backend))
    figures = Row("iteration/evaluate", 0, {"pass@1": 0.25}, {"iteration=0/evaluate": "s3://bucket/x"})
    tracked.log(figures, *steps(1, 2, 3))
    if backend == "mlflow":
        assert '"status": "RUNNING"' in READERS[backend](tracked.folder, "first").text
    tracked.log(figures, *steps(2, 3, 4), *steps(1, series="train_challenger"), finished=True)
    held = READERS[backend](tracked.folder, "first")
    assert tracked.warnings == []
    assert held.steps("train_solver") == [1, 2, 3, 4]
    assert held.values["train_solver/reward_mean"] == [(number, number / 8) for number in (1, 2, 3, 4)]
    assert held.steps("train_challenger") == [1]
    assert held.steps("iteration/evaluate") == [0]
    assert "s3://bucket/x" in held.text
    assert "learning_rate" in held.text
    if backend == "mlflow":
        assert '"status": "FINISHED"' in held.text


def test_no_secret_of_the_environment_reaches_a_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_JUDGE_API_KEY", "sk-planted-in-a-name")
    tracked = Tracked(tmp_path, config_of("tensorboard"))
    tracked.config = tracked.config.model_copy(update={"preset": "sk-planted-in-a-name"})
    tracked.log(*steps(1))
    text = READERS["tensorboard"](tracked.folder, "first").text
    assert '"preset": "***"' in text
    assert all(b"sk-planted" not in file.read_bytes() for file in tracked.folder.rglob("events.*"))


@pytest.fixture
def mute_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An MLflow server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listening.getsockname()[1]}")
        yield


def test_a_server_that_never_answers_costs_one_warning(mute_server: None, tmp_path: Path) -> None:
    tracked = Tracked(tmp_path, config_of("mlflow"))
    outlet = tracked.open(start_seconds=1.0)
    outlet.put(*steps(1))
    wait_until(lambda: bool(tracked.warnings), lambda: "no warning")
    outlet.put(*steps(2))
    outlet.close(False)
    (warning,) = tracked.warnings
    assert warning.startswith("tracker mlflow: its start took more than 1 s; ")


def test_the_end_of_a_run_waits_for_a_tracker_no_longer_than_its_deadline(
    mute_server: None, tmp_path: Path
) -> None:
    tracked = Tracked(tmp_path, config_of("mlflow"))
    outlet = tracked.open()
    outlet.put(*steps(1))
    outlet.close(False, deadline_seconds=0.5)
    (warning,) = tracked.warnings
    assert "was not done 0.5 s after the end" in warning
    assert not any(thread is outlet._thread for thread in threading.enumerate())


def test_a_tracker_that_does_not_keep_up_costs_one_warning_and_no_memory(
    mute_server: None, tmp_path: Path
) -> None:
    tracked = Tracked(tmp_path, config_of("mlflow"))
    outlet = tracked.open(most_rows=3)
    for row in steps(*range(1, 100)):
        outlet.put(row)
    outlet.close(False)
    (warning,) = tracked.warnings
    assert "does not keep up: 3 rows wait" in warning


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_tracker_whose_process_dies_or_stops_costs_one_warning(
    sent: signal.Signals, tmp_path: Path
) -> None:
    tracked = Tracked(tmp_path, config_of("tensorboard"))
    outlet = tracked.open(answer_seconds=1.0)
    outlet.put(*steps(1))
    wait_until(lambda: bool(list(tracked.folder.rglob("events.*"))), lambda: "no file")
    assert outlet._job is not None
    pid = outlet._job.pid
    os.kill(pid, sent)
    outlet.put(*steps(2))
    wait_until(lambda: bool(tracked.warnings), lambda: "no warning")
    outlet.close(False)
    assert len(tracked.warnings) == 1
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), lambda: "the process lives on")
    tracked.log(*steps(1, 2))
    assert READERS["tensorboard"](tracked.folder, "first").steps("train_solver") == [1, 2]


def test_a_folder_that_cannot_be_written_is_one_warning_that_names_it(tmp_path: Path) -> None:
    config_of("tensorboard")
    (tmp_path / "taken").write_text("")
    tracked = Tracked(tmp_path, TensorboardConfig(folder=str(tmp_path / "taken")))
    tracked.log(*steps(1))
    (warning,) = tracked.warnings
    assert "taken" in warning
    assert "\n" not in warning


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WandbConfig, "package", "a_package_that_nobody_has")
    with pytest.raises(ConfigError, match=r"^trackers: wandb is not installed: pip install 'rzero\[wandb\]'"):
        begin("first", store=str(tmp_path / "store"), overrides=["trackers=[wandb]"])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[tensorbord]", "trackers.0.backend: there is no backend 'tensorbord'; did you mean 'tensorboard'?"),
        ("[mlflow, {backend: mlflow}]", "trackers: a tracker is named twice"),
        (
            "[{backend: mlflow, uri: x}]",
            "trackers.0.uri: there is no such setting; there are: backend, folder",
        ),
        ("[{folder: x}]", "trackers.0.backend: must be set; there are: tensorboard, mlflow, wandb, trackio"),
        ("[{backend: mlflow, project: a/../b}]", "trackers.0.project: string should match pattern"),
    ],
)
def test_a_fault_in_the_trackers_is_one_line(value: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve("first", overrides=[f"trackers={value}"])
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_trackers_are_in_no_key_and_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    without, with_one = (
        resolve("a", store=store.uri),
        resolve("a", overrides=["trackers=[mlflow]"], store=store.uri),
    )
    assert locate(with_one, 0, "prepare_base_model", {}) == locate(without, 0, "prepare_base_model", {})
    freeze_run(store, without)
    freeze_run(store, with_one)
    saved = load_run(store, "a")
    assert saved is not None
    assert saved.trackers == (MlflowConfig(),)


def test_a_run_is_the_same_to_its_trackers_in_a_store_that_has_moved_and_another_once_it_was_deleted(
    tmp_path: Path,
) -> None:
    tracker = TensorboardConfig()
    config = resolve("a", store=str(tmp_path / "store"))
    first = tracked_run(Store(config.store), config, tracker)
    (tmp_path / "store").rename(tmp_path / "moved")
    moved = config.model_copy(update={"store": str(tmp_path / "moved")})
    assert tracked_run(Store(moved.store), moved, tracker).id == first.id
    assert tracked_run(Store(config.store), config, tracker).id != first.id


@pytest.mark.parametrize("backend", READERS)
def test_every_tracker_has_a_file_with_its_name_and_an_extra_that_brings_it(backend: str) -> None:
    import tomllib

    extras = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    config = TypeAdapter(TrackerConfig).validate_python({"backend": backend})
    assert importlib.util.find_spec(f"infra.trackers.{backend}") is not None
    assert any(config.package in each for each in extras["optional-dependencies"][backend])
