"""A run may be resumed where GPUs, shares of memory and nodes are others."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.resolve import ConfigError, resolve
from infra.artifacts.runs import freeze_run
from infra.store.store import Store


def test_where_it_is_computed_may_change_and_what_is_computed_may_not(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    freeze_run(store, resolve("a", "qwen3-4b"))
    freeze_run(
        store,
        resolve("a", "qwen3-4b", ["trainer.solver_gpus=0", "sampler.replicas=2"]),
    )
    with pytest.raises(ConfigError, match=r"sampler.dtype: was 'bfloat16', now 'float32'"):
        freeze_run(store, resolve("a", "qwen3-4b", ["sampler.dtype=float32"]))
    with pytest.raises(ConfigError, match=r"trainer.lora_rank: was 0, now 8"):
        freeze_run(store, resolve("a", "qwen3-4b", ["trainer.lora_rank=8"]))
