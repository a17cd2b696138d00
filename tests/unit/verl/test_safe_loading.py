"""A checkpoint may come from a store that others write to: it is read as tensors and never run."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from infra.jobs.errors import DeviceSetupError  # noqa: E402
from infra.trainers.errors import CheckpointError  # noqa: E402
from infra.trainers.verl.child import check_resumed  # noqa: E402
from infra.trainers.verl.cluster import Paths  # noqa: E402
from infra.trainers.verl.merge import gathered_weights  # noqa: E402
from infra.trainers.verl.shards import check_shards, load_shard  # noqa: E402

WEIGHTS = OrderedDict(a=torch.arange(6.0).reshape(2, 3))


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder that exists as soon as a doctored file was run."""
    return tmp_path / "trap"


def _doctored(file: Path, trap: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"a": WEIGHTS["a"], "b": Runs(trap)}, file)


def test_the_trap_works(tmp_path: Path, trap: Path) -> None:
    _doctored(tmp_path / "x.pt", trap)
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert trap.exists()


def test_a_file_that_would_run_something_is_refused_in_one_line(tmp_path: Path, trap: Path) -> None:
    file = tmp_path / "actor" / "model_world_size_1_rank_0.pt"
    _doctored(file, trap)
    with pytest.raises(CheckpointError, match=r"actor/model_.*tensors and numbers alone.*mkdir") as raised:
        load_shard(file)
    assert "\n" not in str(raised.value)
    with pytest.raises(CheckpointError):
        gathered_weights(file.parent)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["data.pt", "actor/optim_world_size_1_rank_0.pt"])
def test_a_training_that_would_go_on_from_such_a_file_does_not_start(
    name: str, tmp_path: Path, trap: Path
) -> None:
    paths = Paths(tmp_path / "model", tmp_path / "work")
    folder = paths.checkpoints / "global_step_2"
    (folder / "actor").mkdir(parents=True)
    torch.save(WEIGHTS, folder / "actor" / "model_world_size_1_rank_0.pt")
    torch.save({"_num_yielded": 2}, folder / "data.pt")
    check_resumed(paths)
    _doctored(folder / name, trap)
    with pytest.raises(DeviceSetupError, match=r"was changed or is broken: .*remove the checkpoint"):
        check_resumed(paths)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"cos\nsystem\n(S'true'\ntR.", os.urandom(4096)])
def test_a_file_that_is_none_of_torch_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"data\.pt does not hold tensors") as raised:
        check_shards(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    for length in range(0, len(content) - 1, 97):
        (tmp_path / "data.pt").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load_shard(tmp_path / "data.pt")
    assert zipfile.is_zipfile(tmp_path / "whole")
    assert torch.equal(load_shard(tmp_path / "whole")["a"], WEIGHTS["a"])


@pytest.mark.parametrize("told", [{}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}])
def test_in_processes_of_verl_no_caller_and_no_variable_can_ask_for_a_whole_pickle(
    told: dict[str, str], tmp_path: Path, trap: Path
) -> None:
    _doctored(tmp_path / "x.pt", trap)
    program = (
        "import infra.trainers.verl.guard, torch\n"
        f"torch.load({str(tmp_path / 'x.pt')!r}, map_location='cpu', weights_only=False)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | told, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 1
    assert "Weights only load failed" in asked.stderr
    assert not trap.exists()
