"""Candidates are written with examples of their own, and without the tokens that their shard goes without."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import torch

from data.backends import TransformersSamplerConfig
from data.config import RunConfig
from data.prompts import Prompts
from data.resolve import resolve
from data.tiny.pretrain import new_model
from data.tiny.tokenizer import CHALLENGER, build_tokenizer
from infra.artifacts.artifact import ArtifactRef, Location
from infra.artifacts.writer import ArtifactWriter
from infra.samplers import SamplingParams, open_sampler
from infra.samplers.decoding.vocabulary import hidden_tokens
from infra.store.store import Store
from tasks.curriculum.examples import with_examples
from tasks.curriculum.vocabulary import dropout_of
from tasks.generate_questions import write_questions
from tasks.stage.graph import locate
from tasks.stage.task import Run
from tasks.stage.work import Work
from tests.support.chat_tokenizers import chat_tokenizer, write_base_model

SMALL = [
    *("questions.count=40", "questions.shard_size=20", "questions.max_tokens=12"),
    *("sampler.backend=transformers", "sampler.device=cpu", "trainer.backend=local"),
]


def _challenger(store: Store, folder: Path) -> ArtifactRef:
    writer = ArtifactWriter(store, Location(run="a", iteration=1, stage="train_challenger", key="k"))
    writer.add_folder(folder)
    return writer.commit(kind="model", stage_version=1, seed=0, inputs={}, figures={}, config={})


def _written(config: RunConfig, challenger: ArtifactRef, part: int) -> tuple[Work, pl.DataFrame]:
    """A shard's rows, and the work that they were."""
    write_questions.prefect_task.fn(
        run=Run(config=config, iteration=1), part=part, of=2, challenger=challenger
    )
    location = locate(config, 1, "generate_questions", {"challenger": challenger})
    work = Work(config, 1, Store(config.store), location)
    return work, work.part_table(part)


def test_a_shard_of_candidates_holds_none_of_its_hidden_tokens_and_another_shard_holds_some(
    tmp_path: Path,
) -> None:
    tokenizer = build_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = new_model(tokenizer)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = resolve("a", "tiny+vocabulary-dropout", SMALL, store=str(tmp_path / "store"))
    challenger = _challenger(Store(config.store), tmp_path / "model")
    drawn, hidden = [], []
    for part in range(2):
        work, rows = _written(config, challenger, part)
        params = SamplingParams.of(config.questions, dropout=dropout_of(work, part))
        seeds = [work.seed_of(number) for number in range(20 * part, 20 * part + 20)]
        with open_sampler(config.sampler, tmp_path / "model") as sampler:
            expected = [one for (one,) in sampler.sample([CHALLENGER] * 20, params, seeds)]
        assert rows["completion"].to_list() == [one.text for one in expected]
        drawn.append({token for one in expected for token in one.token_ids})
        mask = hidden_tokens(params.dropout, model, tokenizer, [tokenizer.eos_token_id])
        assert mask is not None
        hidden.append(set(mask.nonzero()[:, 0].tolist()))
    assert all(30 < len(each) < 100 for each in hidden)
    assert not drawn[0] & hidden[0]
    assert not drawn[1] & hidden[1]
    assert drawn[0] & hidden[1]
    assert drawn[1] & hidden[0]


def test_each_candidate_is_asked_for_with_examples_of_its_own(tmp_path: Path) -> None:
    base = write_base_model(tmp_path / "model", chat_tokenizer(None), "a")
    shape = json.loads((base / "config.json").read_text())
    # A token is a byte here; the positions are no weights.
    (base / "config.json").write_text(json.dumps(shape | {"max_position_embeddings": 4096}))
    rows = [{"question": f"{number}+1?", "answer": number + 1} for number in range(6)]
    file = tmp_path / "people.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    settings = [f"challenger.examples.file={file}", "challenger.examples.count=1", *SMALL]
    config = with_examples(resolve("a", "qwen3-4b", settings, store=str(tmp_path / "store")))
    work, table = _written(config, _challenger(Store(config.store), base), 1)
    seeds = [work.seed_of(number) for number in range(20, 40)]
    prompts = [Prompts(config, base).challenger(seed) for seed in seeds]
    assert len(set(prompts)) == 6
    with open_sampler(TransformersSamplerConfig(device="cpu", dtype=config.sampler.dtype), base) as sampler:
        expected = sampler.sample(prompts, SamplingParams.of(config.questions), seeds)
        plain = sampler.sample(
            [Prompts(resolve("a", "qwen3-4b"), base).challenger()] * 20,
            SamplingParams.of(config.questions),
            seeds,
        )
    assert table["completion"].to_list() == [one.text for (one,) in expected]
    assert table["completion"].to_list() != [one.text for (one,) in plain]
