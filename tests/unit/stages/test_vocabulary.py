"""Vocabulary dropout as a setting of a run: who may, what stays, and which artifacts are made anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data import domains
from data.config import RunConfig
from data.resolve import ConfigError, resolve
from infra.artifacts.artifact import ArtifactRef
from infra.samplers.protocol import VocabularyDropout
from infra.store.store import Store
from tasks.curriculum.vocabulary import dropout_of
from tasks.stage.graph import STAGES, locate
from tasks.stage.work import Work

OVERLAY = "tiny+vocabulary-dropout"
REF = ArtifactRef(uri="store/a", digest="0" * 64, kind="model", bytes=1)


def _work(config: RunConfig, stage: str, folder: Path) -> Work:
    inputs = dict.fromkeys(STAGES[stage].inputs_in(config, 1), REF)
    return Work(config, 1, Store(str(folder)), locate(config, 1, stage, inputs))


def _key(config: RunConfig, stage: str) -> str:
    return locate(config, 1, stage, dict.fromkeys(STAGES[stage].inputs_in(config, 1), REF)).key


def test_the_paper_goes_without_nothing(tmp_path: Path) -> None:
    for stage in ("train_challenger", "generate_questions"):
        assert dropout_of(_work(resolve("a"), stage, tmp_path)) is None


def test_the_overlay_hides_other_tokens_in_each_stage_and_shard_and_spares_the_format(tmp_path: Path) -> None:
    config = resolve("a", OVERLAY, ["challenger.vocabulary_dropout.spared=[xy,' z']"])
    spared = (*domains.get("arithmetic").format, "xy", " z")
    trained = dropout_of(_work(config, "train_challenger", tmp_path))
    shards = [dropout_of(_work(config, "generate_questions", tmp_path), part) for part in range(4)]
    assert trained == VocabularyDropout(0.15, spared, trained.seed if trained else -1)
    assert {each.spared for each in shards if each} == {spared}
    assert len({each.seed for each in (trained, *shards) if each}) == 5
    assert shards == [dropout_of(_work(config, "generate_questions", tmp_path), part) for part in range(4)]


def test_only_what_is_drawn_under_dropout_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, overlay = resolve("a"), resolve("a", OVERLAY)
    changed = {stage for stage in STAGES if _key(plain, stage) != _key(overlay, stage)}
    assert changed == {"train_challenger", "generate_questions"}
    row = STAGES["generate_questions"]
    reads = tuple(each for each in row.reads if each != "challenger.vocabulary_dropout")
    key = _key(plain, "generate_questions")
    monkeypatch.setitem(STAGES, "generate_questions", replace(row, reads=reads))
    # As before there was the setting.
    assert _key(plain, "generate_questions") == key


@pytest.mark.parametrize(
    ("preset", "overrides", "line"),
    [
        (
            f"{OVERLAY}+verl",
            [],
            "sampler: vllm has no challenger.vocabulary_dropout: set sampler.backend=tra",
        ),
        ("qwen3-4b+vocabulary-dropout", ["sampler.backend=transformers"], "trainer: verl has no challenger."),
        (OVERLAY, ["sampler.backend=server"], "sampler: server has no challenger.vocabulary_dropout: set "),
        (OVERLAY, ["challenger.vocabulary_dropout.share=1"], "challenger.vocabulary_dropout.share: input sh"),
        (OVERLAY, ["challenger.vocabulary_dropout.shar=0"], "challenger.vocabulary_dropout.shar: there is n"),
        (OVERLAY, ["challenger.vocabulary_dropout=0.2"], "challenger.vocabulary_dropout: input should be a "),
    ],
)
def test_what_cannot_be_is_a_line_that_says_so_before_the_run_starts(
    preset: str, overrides: list[str], line: str
) -> None:
    with pytest.raises(ConfigError) as error:
        resolve("a", preset, overrides)
    assert str(error.value).splitlines()[0].startswith(line)
    assert len(str(error.value)) < 160 * len(str(error.value).splitlines())


def test_other_presets_take_it_with_the_backends_of_one_device() -> None:
    backends = ["trainer.backend=local", "sampler.backend=transformers"]
    config = resolve("a", "qwen3-4b+vocabulary-dropout", backends)
    assert config.challenger.vocabulary_dropout is not None
