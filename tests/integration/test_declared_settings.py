"""Every setting that a stage declares is read by it: none is in a key for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.resolve import resolve
from tasks.prepare_base_model import prepare_base_model
from tasks.stage.errors import StageError
from tasks.stage.graph import STAGES
from tasks.stage.task import Run
from tasks.stage.view import View


def test_a_stage_reads_all_that_it_declares(
    settings_read: set[tuple[str, str]], small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(View, "on_read", lambda stage, setting: settings_read.add((stage, setting)))
    # The revision is read where a model comes from a hub; here it is asked for in vain.
    hub = resolve(
        "hub",
        "smollm2-135m",
        ["base_model.name=nobody/nothing", "base_model.revision=main"],
        store=str(tmp_path),
    )
    with pytest.raises(StageError, match="nobody/nothing"):
        prepare_base_model.prefect_task.fn(run=Run(config=hub, iteration=0))
    declared = {(name, setting) for name, stage in STAGES.items() for setting in stage.reads}
    assert declared - settings_read == set()
