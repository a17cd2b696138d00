"""verl reads an exported curriculum as it is, and trains on it with its own loop and reward manager."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from data.backends import VerlTrainerConfig
from data.config import GrpoConfig
from infra.jobs.process import DeviceJob
from infra.trainers.protocol import TrainingJob
from tests.benchmarks.bench_verl import run_bare
from tests.support.exported import TEMPLATE, export_small

TIMEOUT_SECONDS = 600.0
REWARD = """
import re

def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    said = re.findall(r"\\\\boxed\\{([^{}]*)\\}", solution_str)
    return float(bool(said) and said[-1] == ground_truth)
"""


def test_verls_own_data_set_reads_every_row(python: str, small_store: Path, tmp_path: Path) -> None:
    curriculum, model = export_small(small_store, tmp_path)
    (file,) = curriculum.glob("*.parquet")
    spec = {"file": str(file), "model": str(model), "cache": str(tmp_path / "cache"), "template": TEMPLATE}
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with DeviceJob("verl", "entries:read_rows", spec, python, environment) as job:
        told = job.wait_for("done", TIMEOUT_SECONDS, "reading")["result"]
    rows = pl.read_parquet(file)
    # Without a chat template verl's filter leaves every prompt out as too long.
    assert told["lengths"] == [0, rows.height]
    assert [row["raw_prompt"] for row in told["rows"]] == rows["prompt"].to_list()
    assert [row["reward_model"]["ground_truth"] for row in told["rows"]] == rows["pseudo_label"].to_list()
    assert [row["index"] for row in told["rows"]] == [each["index"] for each in rows["extra_info"]]
    assert {row["data_source"] for row in told["rows"]} == {"rzero"}


def test_bare_verl_takes_a_step_on_it(python: str, small_store: Path, tmp_path: Path) -> None:
    curriculum, model = export_small(small_store, tmp_path)
    (file,) = curriculum.glob("*.parquet")
    config = GrpoConfig(steps=1, prompts_per_step=8, group_size=4, max_tokens=48, micro_batch_size=16)
    trainer = VerlTrainerConfig(device="cpu", threads=1)
    job = TrainingJob("solver", model, ["asked of nobody"], config, 0, tmp_path / "out")
    # Ray's sockets want a short path.
    with tempfile.TemporaryDirectory(prefix="rz-", ignore_cleanup_errors=True) as work:
        lines = run_bare(trainer, job, Path(work), file, 64, REWARD, TEMPLATE)
    (told,) = [line for line in lines if "critic/score/mean" in line]
    # About half of the answers to a kept question are its label.
    assert 0 < told["critic/score/mean"] < 1
    assert told["actor/grad_norm"] > 0
