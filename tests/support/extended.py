"""What the examples of docs/extending.md do, in a copy of the checkout in which their diffs are applied.

    python -m tests.support.extended FILE NAME ...

runs those named, in one process, and writes what each raised into the JSON file; null where all was well.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def benchmark(folder: Path) -> None:
    """HMMT loads from a file of one's own and is graded by value."""
    from data import benchmarks
    from data.resolve import resolve
    from tasks.grading.grades import grade
    from tasks.grading.reading import read_answer
    from tasks.voting.equivalence import Grader

    rows = [
        {"problem": "Halve 1.", "answer": r"\frac{1}{2}"},
        {"problem": "Root of 8?", "answer": r"2\sqrt{2}"},
    ]
    (folder / "hmmt2025.jsonl").write_text("\n".join(map(json.dumps, rows)))
    os.environ["RZERO_BENCHMARKS"] = str(folder)
    config = resolve("a", overrides={"evaluation.benchmarks": "[hmmt2025]", "evaluation.samples": "null"})
    hmmt, (half, root) = benchmarks.get("hmmt2025"), benchmarks.load("hmmt2025", config.base_model)
    assert hmmt.modes(config.evaluation) == {"sampled": 16}
    said = [
        read_answer(hmmt.grading, text).answer
        for text in (r"So \boxed{0.5}.", r"It is \boxed{\sqrt{8}}", "2.8")
    ]
    with Grader() as grader:
        grades = grade(hmmt, list(zip(said, (half, root, root), strict=True)), grader)
    assert [one.correct for one in grades] == [True, True, False], grades


def reward_term(folder: Path) -> None:
    """The penalty has its column in the tables, and its weight acts."""
    import numpy as np

    from data.config import DEFAULT_REWARD
    from data.resolve import resolve
    from data.schemas import TERM_TABLES, schema_of
    from tasks.rewards.challenger import ChallengerReward, settled
    from tasks.rewards.term import Batch

    config = settled(resolve("a", overrides={"challenger.reward.overlong.weight": "0.5"}))
    assert config.challenger.reward["overlong"] == {"weight": 0.5, "free": 400, "ramp": 400}
    valid = np.array([True, True, True, False])
    batch = Batch(["short", "x" * 600, "y" * 2000, None], valid, np.full(4, 0.5), np.ones(4))
    reward, without = ChallengerReward(config.challenger.reward), ChallengerReward(DEFAULT_REWARD)
    columns, rewards = reward.score(batch)
    assert columns["overlong"] == [0.0, 0.5, 1.0, 0.0]
    lost = np.subtract(without.score(batch)[1], rewards)
    assert np.allclose(lost, [0.0, 0.25, 0.5, 0.0]), lost
    for table in TERM_TABLES:
        assert "overlong" in schema_of(table, reward.columns).names
        assert "overlong" not in schema_of(table, without.columns).names


def method(folder: Path) -> None:
    """The overlay turns its term on, and the reward is lower where the two answers differ."""
    import numpy as np

    from data.config import DEFAULT_REWARD
    from data.resolve import resolve
    from tasks.rewards.challenger import ChallengerReward, settled
    from tasks.rewards.term import Batch

    config = settled(resolve("a", "tiny+own-answer"))
    assert config.challenger.reward == DEFAULT_REWARD | {"stranger": {"weight": 0.5}}
    batch = Batch(["a b", "c d"], np.full(2, True), np.full(2, 0.5), np.ones(2), ("7", "8"), ("7", "9"))
    columns, rewards = ChallengerReward(config.challenger.reward).score(batch)
    assert columns["stranger"] == [False, True]
    without = ChallengerReward(DEFAULT_REWARD).score(batch)[1]
    assert np.subtract(without, rewards).tolist() == [0.0, 0.5]


def domain(folder: Path) -> None:
    """A question about a day goes from its proposal over answers and votes to its truth."""
    from data import domains
    from data.resolve import resolve
    from tasks.curriculum.questions import score_questions
    from tasks.rewards.challenger import ChallengerReward
    from tasks.voting.domains import grader_of

    config = resolve("a", overrides=["domain=weekdays"])
    days, asked = domains.get(config.domain), "On which day of the week is 2024-03-01 plus 300 days?"
    assert days.solver_messages(asked, "chat")[-1] == {"role": "user", "content": asked}
    assert "YYYY-MM-DD" in str(days.challenger("chat"))
    said = [r"so \boxed{Thursday}", r"\boxed{Thu.}", r"\boxed{Friday}", "I do not know"]
    written = [f"<question>{asked}</question>\n\\boxed{{Monday}}", "no block"]
    formula = ChallengerReward(config.challenger.reward)
    with grader_of(config.domain) as grader:
        scored, unread = score_questions(
            written, lambda questions: [said for _ in questions], grader, formula, domain=config.domain
        )
        vote, truth = scored.vote, days.truth_of(scored.question)
        assert (scored.question, scored.answer, unread.reward) == (asked, "Monday", 0.0)
        assert vote is not None
        assert (vote.votes, vote.abstentions, truth.answer, truth.in_range) == (2, 1, "Thursday", True)
        pairs = [(str(vote.answer), "Thursday"), ("Monday", "Thursday"), ("one", "two")]
        assert grader.equivalent(pairs) == [True, False, False]
    assert days.truth(asked.replace("03-01", "02-31")).in_range is False
    assert days.key(asked) == days.key(f" {asked}") != days.key(asked.replace("300", "301"))


def sampler(folder: Path) -> None:
    """It opens by its name, draws the same with the same seeds, and when greedy what `transformers` does."""
    from data.backends import TransformersSamplerConfig
    from data.resolve import resolve
    from infra.samplers import SamplingParams, open_sampler

    model, config = _tiny_model(folder), resolve("a", overrides=["sampler.backend=generate"])
    prompts, seeds = ["37+5\n", "1+2-3\n"], [3, 4]
    drawn, greedy = SamplingParams(8, samples=3), SamplingParams(8, temperature=0.0)
    with open_sampler(config.sampler, model) as sampler:
        first = sampler.sample(prompts, drawn, seeds)
        assert first == sampler.sample(prompts, drawn, seeds)
        assert [len(completions) for completions in first] == [3, 3]
        assert len({completion.text for completion in first[0]}) > 1
        by_generate = sampler.sample(prompts, greedy, seeds)
    with open_sampler(TransformersSamplerConfig(device="cpu"), model) as sampler:
        assert by_generate == sampler.sample(prompts, greedy, seeds)


def trainer(folder: Path) -> None:
    """It trains by the Trainer protocol: the best of each group alone has weight, and the reward rises."""
    from data.config import GrpoConfig
    from data.resolve import resolve
    from infra.trainers import open_trainer
    from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
    from tests.support.folder_checkpoints import FolderCheckpoints

    job = TrainingJob(
        role="solver",
        model_dir=_tiny_model(folder),
        prompts=["1+2\n", "3+4\n"],
        config=GrpoConfig(
            steps=4,
            prompts_per_step=2,
            group_size=8,
            max_tokens=4,
            micro_batch_size=16,
            learning_rate=1e-2,
            checkpoint_every_steps=2,
        ),
        seed=7,
        output_dir=folder / "trained",
    )

    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        return [ScoredRollout(each.completion.text.count("1") / 4) for each in rollouts]

    checkpoints = FolderCheckpoints(folder / "steps")
    config = resolve("a", overrides=["trainer.backend=best_of"]).trainer
    result = open_trainer(config).train(job, reward, checkpoints, lambda step, metrics: None)
    groups: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in result.rollouts.to_pylist():
        groups.setdefault((row["step"], row["group"]), []).append(row)
    assert len(groups) == 8
    for rows in groups.values():
        rewards = [row["reward"] for row in rows]
        best = [row["reward"] for row in rows if row["advantage"] == 1.0]
        assert best == [max(rewards)] * (max(rewards) > min(rewards))
        assert sum(row["advantage"] for row in rows) == len(best)
    means = result.metrics["reward_mean"].to_pylist()
    assert means[-1] > means[0], means
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[0] == 2
    assert (result.model_dir / "model.safetensors").is_file()


def stage(folder: Path) -> None:
    """It comes last in the graph's walk and in the flow, and makes its artifact from those of the others."""
    from data.resolve import resolve
    from data.schemas import SCHEMAS
    from flows.iteration import iteration
    from infra.artifacts.artifact import manifest_of, read_table
    from infra.artifacts.writer import ArtifactWriter
    from infra.store.store import Store
    from infra.store.tables import table_of
    from tasks import retest
    from tasks.stage.graph import STAGES
    from tasks.stage.task import Run
    from tasks.stage.walk import needed_later, outcome_of, walk
    from tests.support.artifact_samples import curriculum_rows
    from tests.unit.stages.test_flow_is_the_graph import differences

    assert differences(inspect.getsource(iteration.fn), 1) == []
    assert "retest" not in needed_later()
    model, store = _tiny_model(folder), Store(str(folder / "store"))
    config = resolve("a", store=store.uri)
    while (step := next(step for step in walk(store, config, 1) if step.ref is None)).stage != "retest":
        assert step.location is not None
        row, writer = STAGES[step.stage], ArtifactWriter(store, step.location)
        if row.kind == "model":
            writer.add_folder(model)
        else:
            writer.add_table(SCHEMAS[row.kind].empty_table())
        if "curriculum" in row.tables:
            writer.add_table(table_of(curriculum_rows(5), SCHEMAS["curriculum"]), "curriculum")
        writer.commit(kind=row.kind, stage_version=row.version, seed=0, inputs={}, figures={}, config={})
    made = outcome_of([step for step in walk(store, config, 1) if step.iteration == 1])
    ref = retest.retest.prefect_task.fn(
        run=Run(config=config, iteration=1),
        solver=made.get("solver"),
        curriculum=made.get("score_and_filter"),
    )
    assert walk(store, config, 1)[-1].ref == ref
    rows = read_table(store, ref).to_pylist()
    assert [row["question_id"] for row in rows] == list(range(5))
    share = sum(row["is_label"] for row in rows) / 5
    assert manifest_of(store, ref).figures == {"learnt_share": share}


def _tiny_model(folder: Path) -> Path:
    """The tiny model, untrained."""
    import torch

    from data.tiny.pretrain import new_model
    from data.tiny.tokenizer import build_tokenizer

    model, tokenizer = folder / "model", build_tokenizer()
    torch.manual_seed(0)
    new_model(tokenizer).save_pretrained(model)
    tokenizer.save_pretrained(model)
    return model


LIGHT: tuple[Callable[[Path], None], ...] = (benchmark, reward_term, method, domain)
HEAVY: tuple[Callable[[Path], None], ...] = (sampler, trainer, stage)
"""They load torch, the last one Prefect as well."""


def raised(example: Callable[[Path], None]) -> str | None:
    """The traceback of what an example raised."""
    with tempfile.TemporaryDirectory(prefix="rzero-extended-") as folder:
        try:
            example(Path(folder))
        except Exception:
            return traceback.format_exc()
    return None


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps({name: raised(globals()[name]) for name in sys.argv[2:]}))
