"""TRL trains on an exported curriculum as it is; tests/verl/test_verl_curriculum.py asks the same of verl.

It wants an environment of its own, named by RZERO_TRL_PYTHON: docs/hub.md says how to make it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import polars as pl
import pytest

from data.domains.arithmetic import solver
from tests.support import trl_step
from tests.support.exported import TEMPLATE, export_small

VARIABLE = "RZERO_TRL_PYTHON"


# It imports another torch, transformers and TRL in a process of its own.
@pytest.mark.slow
@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"${VARIABLE} names no interpreter with TRL")
def test_trl_takes_a_step_on_an_exported_curriculum(small_store: Path, tmp_path: Path) -> None:
    curriculum, model = export_small(small_store, tmp_path)
    rows = pl.read_parquet(curriculum / "part-*.parquet")
    script = str(Path(trl_step.__file__))
    trained = subprocess.run(
        [os.environ[VARIABLE], script, str(curriculum), str(model), str(tmp_path / "work"), TEMPLATE],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr[-4000:]
    told = json.loads(trained.stdout.splitlines()[-1])
    assert (told["rows"], told["step"]) == (rows.height, 1)
    assert told["prompt"] == solver(rows["question"][0], "chat")
    # Half of the answers to a kept question are its label, so groups have something to learn from.
    assert 0 < told["reward"] < 1
    assert told["grad_norm"] > 0
