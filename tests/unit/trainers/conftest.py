"""A very small model with a word tokenizer, and jobs on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from data.backends import LocalTrainerConfig
from data.config import GrpoConfig
from infra.trainers import open_trainer
from infra.trainers.protocol import Checkpoints, Reward, Rollout, ScoredRollout, TrainingJob, TrainingResult
from tests.support.folder_checkpoints import FolderCheckpoints

WORDS = ["<pad>", "<eos>", "a", "b", "c", "d", "e", "f"]


def _build_model(
    folder: Path, vocabulary: Sequence[str] = WORDS, dtype: torch.dtype = torch.float32, **overrides: Any
) -> Path:
    """A random LlamaForCausalLM and its tokenizer as a Hugging Face directory."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<pad>").save_pretrained(
        folder
    )
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = LlamaConfig(
        **{**shape, **overrides},
        vocab_size=len(vocabulary),
        max_position_embeddings=64,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def build_model() -> Callable[..., Path]:
    """build_model(folder, **LlamaConfig) for tests that change the directory."""
    return _build_model


@pytest.fixture
def make_job(model_dir: Path, tmp_path: Path) -> Callable[..., TrainingJob]:
    """A small job; keywords that the job lacks go to its GrpoConfig."""

    def make(
        output: str = "trained",
        source: Path = model_dir,
        prompts: Sequence[str] = ("a b", "c", "d e f"),
        seed: int = 7,
        **config: Any,
    ) -> TrainingJob:
        defaults = {
            "steps": 2,
            "prompts_per_step": 4,
            "group_size": 4,
            "max_tokens": 6,
            "micro_batch_size": 6,
            "learning_rate": 1e-2,
        }
        return TrainingJob(
            role="solver",
            model_dir=source,
            prompts=prompts,
            config=GrpoConfig(**{**defaults, **config}),
            seed=seed,
            output_dir=tmp_path / output,
        )

    return make


def _count_of_b(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
    """The share of the word `b` in a completion of at most six words."""
    return [
        ScoredRollout(r.completion.text.split().count("b") / 6, {"answer": r.completion.text[:1]})
        for r in rollouts
    ]


@pytest.fixture
def checkpoints(tmp_path: Path) -> FolderCheckpoints:
    return FolderCheckpoints(tmp_path / "checkpoints")


@pytest.fixture
def folder_checkpoints() -> type[FolderCheckpoints]:
    """For tests that need more than one place."""
    return FolderCheckpoints


@pytest.fixture
def count_of_b() -> Reward:
    """A trivial reward: the share of one word."""
    return _count_of_b


@pytest.fixture
def train(checkpoints: FolderCheckpoints) -> Callable[..., TrainingResult]:
    """train(job) on one CPU thread; what a test is about goes into the keywords."""

    def run(
        job: TrainingJob,
        reward: Reward = _count_of_b,
        places: Checkpoints = checkpoints,
        report: Callable[[int, Mapping[str, float]], None] = lambda step, metrics: None,
        **config: Any,
    ) -> TrainingResult:
        trainer = open_trainer(LocalTrainerConfig(**{"device": "cpu", "threads": 1, **config}))
        return trainer.train(job, reward, places, report)

    return run
