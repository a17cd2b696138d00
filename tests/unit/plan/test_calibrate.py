"""`rzero calibrate` measures with the preset's own backends and leaves nothing but its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from data.config import GrpoConfig
from data.schemas import ENGINE_METRICS, METRICS, ROLLOUTS
from flows.cli import main
from infra.plan.calibration import Calibration, keep, kept
from infra.plan.measure import Watch, gathered, short_training, update_seconds
from infra.samplers.protocol import Completion
from infra.store.store import Store
from infra.trainers.protocol import Rollout, TrainingResult


@pytest.mark.slow
def test_the_tiny_model_is_measured_and_the_store_holds_the_figures_alone(tmp_path: Path) -> None:
    small = [
        f"--set={setting}"
        for setting in ("answers.max_tokens=4", "solver.max_tokens=4", "solver.prompts_per_step=4")
    ]
    told = CliRunner().invoke(main, ["calibrate", *small, "--store", str(tmp_path / "store"), "--json"])
    assert told.exit_code == 0, told.output
    assert [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()] == ["tiny.json"]
    found = kept(Store(str(tmp_path / "store")), "tiny")
    assert found is not None
    assert found.model_dump(mode="json") == json.loads(told.stdout)
    assert [each.prompts for each in found.figures.decoding] == [1, 8, 64, 512]
    speeds = [each.tokens_per_second for each in found.figures.decoding]
    assert speeds[-1] > speeds[0] > 0
    assert found.figures.train_tokens_per_second > 0
    assert found.figures.weight_sync_seconds is None
    assert (found.gpus, found.trainer["backend"]) == (0, "local")


def test_the_plan_takes_what_was_measured_on_gpus_of_its_size_and_assumes_the_rest(tmp_path: Path) -> None:
    measured = Calibration(
        preset="qwen3-8b",
        base_model="Qwen/Qwen3-8B-Base",
        gpus=4,
        memory_gib=79.2,
        sampler={},
        trainer={},
        finished_at="2026-11-30T03:00:00+00:00",
        figures=gathered(
            {
                "engine_start_seconds": 50,
                "decoding.1": 100,
                "decoding.64": 4000,
                "trainer_start_seconds": 70,
                "train_tokens_per_second": 2000,
                "upload_mebibytes_per_second": 300,
            }
        ),
    )
    # A model of twice the size and a quarter of the GPUs.
    assert measured.rates(8.0).decode_tokens_per_second == 2000
    assert measured.rates(8.0).train_tokens_per_second == 1000
    keep(Store(str(tmp_path)), measured)

    def source(gib: int, preset: str = "qwen3-8b") -> str:
        asked = ["--preset", preset, "--gpus", "8", "--memory-gib", str(gib), "--store", str(tmp_path)]
        told = CliRunner().invoke(main, ["plan", *asked, "--json"])
        return str(json.loads(told.stdout)["timeline"]["rates"]["source"])

    assert source(80) == "measured with qwen3-8b on 4 GPUs, 2026-11-30T03:00:00+00:00"
    assert source(141).startswith("assumed")
    assert source(80, preset="qwen3-4b").startswith("assumed")


def test_a_model_that_is_not_there_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    asked = ["calibrate", "--set", f"base_model.name={tmp_path}", "--store", str(tmp_path / "store")]
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 2
    assert told.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_figures_that_cannot_be_read_count_as_none(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert kept(store, "tiny") is None
    store.put("calibrations/tiny.json", b'{"preset": "tiny"}')
    assert kept(store, "tiny") is None


def _rollouts(step: int) -> list[Rollout]:
    drawn = Completion("", (1, 2, 3), "stop", 0, prompt_tokens=7)
    return [Rollout(step, 0, 0, "", drawn) for _ in range(4)]


@pytest.mark.parametrize(
    ("engine", "seconds"), [([], 6.0), ([("timing_s/ref", 1), ("timing_s/gen", 9)], 1.0)]
)
def test_starts_and_updates_are_told_apart_from_drawing(
    engine: list[tuple[str, float]], seconds: float
) -> None:
    # Ten seconds of start; in each step four of drawing, one of scoring and six of updating.
    times = iter([0.0, 14.0, 15.0, 21.0, 25.0, 26.0, 32.0])
    watch = Watch(clock=lambda: next(times))
    for step in (1, 2):
        assert len(watch.reward(_rollouts(step))) == 4
        watch.report(step, {})
    rows = [{"step": 2, "name": name, "value": float(value)} for name, value in engine]
    table = pa.Table.from_pylist(rows, schema=ENGINE_METRICS) if engine else None
    result = TrainingResult(Path(), ROLLOUTS.empty_table(), METRICS.empty_table(), 0, table)
    assert watch.start_seconds() == 10.0
    assert watch.tokens == 40
    assert update_seconds(result, watch) == seconds


def test_the_short_training_keeps_what_decides_its_speed() -> None:
    config = GrpoConfig(steps=15, group_size=5, updates_per_step=4, micro_batch_size=3)
    short = short_training(config)
    assert (short.group_size, short.micro_batch_size) == (5, 3)
    assert (short.steps, short.prompts_per_step, short.updates_per_step) == (2, 16, 1)
