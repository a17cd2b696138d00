"""The room for a training's checkpoints is there before anything starts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from data.backends import VerlTrainerConfig
from data.config import GrpoConfig
from data.resolve import resolve
from infra.jobs.errors import DeviceSetupError
from infra.models.check import parameter_count
from infra.trainers import open_trainer
from infra.trainers.protocol import TrainingJob
from infra.trainers.verl.cluster import check_space, checkpoint_bytes
from tests.support.chat_tokenizers import chat_tokenizer, write_base_model
from tests.support.folder_checkpoints import FolderCheckpoints

QWEN3_4B = 4_022_468_096


@pytest.mark.parametrize(
    ("steps", "every", "first", "is_lora", "expected"),
    [
        (15, 5, 0, False, (2, 48.3)),
        (15, 5, 5, False, (2, 48.3)),
        (15, 5, 10, False, (1, 48.3)),
        (15, 5, 15, False, (0, 48.3)),
        (17, 5, 15, False, (1, 48.3)),
        (17, 5, 17, False, (0, 48.3)),
        (5, 5, 0, False, (1, 48.3)),
        (3, 5, 0, False, (1, 48.3)),
        (15, 5, 0, True, (2, 16.1)),
    ],
)
def test_at_most_two_checkpoints_come_to_lie_in_the_work_folder(
    steps: int, every: int, first: int, is_lora: bool, expected: tuple[int, float]
) -> None:
    config = GrpoConfig(group_size=4, steps=steps, checkpoint_every_steps=every)
    number, each = checkpoint_bytes(QWEN3_4B, config, first, is_lora)
    assert (number, round(each / 1e9, 1)) == expected


def test_what_fits_passes(tmp_path: Path) -> None:
    config = resolve("a").solver
    check_space("solver", tmp_path, 1000, config, 0, False)


def _add_weights(model: Path, parameters: int) -> None:
    """A tensor more, which is a hole in the file."""
    file = model / "model.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    offsets = [len(data), len(data) + parameters]
    header["more"] = {"dtype": "I8", "shape": [parameters], "data_offsets": offsets}
    described = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(described).to_bytes(8, "little") + described + data)
        stream.truncate(8 + len(described) + len(data) + parameters)


def test_a_training_whose_checkpoints_have_no_room_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_COMPUTE_PYTHON", sys.executable)
    model = write_base_model(tmp_path / "model", chat_tokenizer(None), "a")
    few = parameter_count(model)
    _add_weights(model, 10**12)
    assert parameter_count(model) == few + 10**12
    work = tmp_path / "work"
    config = GrpoConfig(group_size=4, steps=15, prompts_per_step=4)
    job = TrainingJob("solver", model, ["a"], config, 1, tmp_path / "out")
    trainer = open_trainer(VerlTrainerConfig(device="cpu", work_folder=str(work)))
    said = (
        rf"trainer\.work_folder: the solver's checkpoints need 24000\.0 GB \(2 of 12000\.0 GB\) and "
        rf"{re.escape(str(work))} has [\d.]+ GB free; set trainer\.work_folder to a folder with more room"
    )
    with pytest.raises(DeviceSetupError, match=f"^{said}$"):
        trainer.train(job, lambda _: [], FolderCheckpoints(tmp_path / "store"), lambda *_: None)
    assert list(work.iterdir()) == []
