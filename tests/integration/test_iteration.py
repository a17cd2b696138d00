"""A whole iteration with real parts: what it leaves behind, and that it is made once."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from data import domains
from data.benchmarks import load
from data.tiny.tokenizer import SOLVER, build_tokenizer
from flows.evolve import evolve
from flows.iteration import iteration
from flows.summary import read_steps, status_rows, summary_rows
from infra.artifacts.artifact import Manifest
from infra.artifacts.runs import load_run
from infra.artifacts.verify import verify
from infra.store.store import Store
from tasks.stage.graph import stage_names
from tests.support.manifests import manifests_of
from tests.support.reward_term import install_reward_term
from tests.support.schemas import RUN_SCHEMAS
from tests.support.small_run import small_overrides


def test_every_stage_leaves_one_artifact_where_the_layout_says(small_store: Path) -> None:
    wanted = sorted(f"iteration={k}/{stage}" for k in (0, 1) for stage in stage_names(k))
    assert sorted(manifests_of(small_store, "small")) == wanted


def test_every_file_has_the_digest_of_its_manifest(small_store: Path) -> None:
    store = Store(str(small_store))
    config = load_run(store, "small")
    assert config is not None
    steps = read_steps(store, config)
    assert all(step.manifest for step in steps)
    assert [verify(store, step.step.location) for step in steps if step.step.location] == [[]] * len(steps)


def test_the_solver_makes_as_many_steps_as_its_kept_questions_allow(small_store: Path) -> None:
    config = load_run(Store(str(small_store)), "small")
    assert config is not None
    assert config.solver.max_epochs == 1.5
    base = f"{small_store}/runs/small/iteration=1"
    kept = pl.read_parquet(f"{base}/score_and_filter/*/curriculum/part-*.parquet").height
    steps = pl.read_parquet(f"{base}/train_solver/*/metrics/part-*.parquet")["step"].to_list()
    assert steps == list(range(1, config.solver.on(kept).steps + 1))


def test_every_table_opens_with_polars_and_has_its_columns(small_store: Path) -> None:
    tables = {
        "questions": "generate_questions/*/part-*.parquet",
        "answers": "sample_answers/*/part-*.parquet",
        "votes": "score_and_filter/*/votes/part-*.parquet",
        "scored": "score_and_filter/*/part-*.parquet",
        "curriculum": "score_and_filter/*/curriculum/part-*.parquet",
        "completions": "sample_evaluation/*/part-*.parquet",
        "evaluation": "evaluate/*/part-*.parquet",
        "overlaps": "score_and_filter/*/overlaps/part-*.parquet",
        "probe": "train_challenger/*/probe/part-*.parquet",
        "rollouts": "train_*/*/rollouts/part-*.parquet",
        "metrics": "train_*/*/metrics/part-*.parquet",
    }
    elsewhere = {"engine_metrics", "memory"}
    assert set(tables) == set(RUN_SCHEMAS) - elsewhere, (
        "the trainer 'verl', and a run that remembers, write those"
    )
    for name, pattern in tables.items():
        frame = pl.scan_parquet(f"{small_store}/runs/small/iteration=1/{pattern}").collect()
        assert frame.columns == RUN_SCHEMAS[name].names, name
        assert frame.height > 0 or name == "overlaps", name


def test_votes_and_kept_questions_agree_with_the_answers(small_store: Path) -> None:
    base = f"{small_store}/runs/small/iteration=1"
    scored = pl.read_parquet(f"{base}/score_and_filter/*/part-*.parquet")
    answers = pl.read_parquet(f"{base}/score_and_filter/*/votes/part-*.parquet")
    kept = scored.filter("kept")
    assert kept.height == pl.read_parquet(f"{base}/score_and_filter/*/curriculum/part-*.parquet").height > 0
    assert kept.filter((pl.col("p_hat") - 0.5).abs() > 0.25 + 1e-9).is_empty()
    for row in kept.iter_rows(named=True):
        given = answers.filter(pl.col("question_id") == row["question_id"])
        assert given.height == row["samples"] == 10
        assert given["answer"].null_count() == row["abstentions"]
        assert given["answer"].value_counts()["count"].max() == row["votes"] or row["votes"] > 1
        assert row["p_hat"] == pytest.approx(row["votes"] / (row["samples"] - row["abstentions"]))


def test_no_held_out_problem_is_trained_on_in_any_order_of_its_terms(small_store: Path) -> None:
    config = load_run(Store(str(small_store)), "small")
    assert config is not None
    key = domains.get(config.domain).key
    held_out = {key(problem.problem) for problem in load("arithmetic", config.base_model)}
    scored = pl.read_parquet(f"{small_store}/runs/small/iteration=1/score_and_filter/*/part-*.parquet")
    curriculum = pl.read_parquet(f"{small_store}/runs/small/iteration=1/score_and_filter/*/curriculum/*")
    rollouts = pl.read_parquet(f"{small_store}/runs/small/iteration=1/train_solver/*/rollouts/part-*.parquet")
    trained_on = {*curriculum["question"], *rollouts["prompt"].str.extract(r"<\|solver\|>(.*)\n", 1)}
    assert not {question for question in trained_on if key(question) in held_out}
    dropped = scored.filter(pl.col("drop_reason") == "held_out")["question"]
    assert all(key(question) in held_out for question in dropped)


def test_models_load_with_the_auto_classes(small_store: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for stage in (
        "iteration=0/prepare_base_model",
        "iteration=1/train_challenger",
        "iteration=1/train_solver",
    ):
        (folder,) = small_store.glob(f"runs/small/{stage}/*")
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert model.config.vocab_size == len(tokenizer)
        assert not list(folder.glob("*.bin")) + list(folder.glob("*.pt")) + list(folder.glob("*.pkl"))


def test_a_run_says_how_it_went(small_store: Path) -> None:
    store = Store(str(small_store))
    config = load_run(store, "small")
    assert config is not None
    rows = summary_rows(read_steps(store, config))
    assert [row["iteration"] for row in rows] == [0, 1]
    assert 0 < rows[0]["pass@1"] < 1
    assert all(value is not None for name, value in rows[1].items() if name != "label_accuracy")
    assert {row["state"] for row in status_rows(read_steps(store, config))} == {"finished"}


def test_two_stores_get_the_same_digest_for_every_artifact(small_store: Path, tmp_path: Path) -> None:
    evolve(run="again", iterations=1, store=str(tmp_path / "other"), overrides=small_overrides())
    one = {name: m.digest for name, m in manifests_of(small_store, "small").items()}
    other = {name: m.digest for name, m in manifests_of(tmp_path / "other", "again").items()}
    assert one == other


def test_an_iteration_that_began_before_the_last_was_evaluated_comes_out_the_same(
    small_store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_turn, beside = (shutil.copytree(small_store, tmp_path / name) for name in ("in turn", "beside"))
    evolve(run="small", iterations=2, store=str(in_turn))
    for stage in ("sample_evaluation", "evaluate"):
        shutil.rmtree(beside / "runs/small/iteration=1" / stage)
    caplog.clear()
    iteration(run="small", iteration=2, store=str(beside))
    begun = manifests_of(beside, "small")
    assert "iteration=1/evaluate" not in begun
    assert "iteration=2/evaluate" in begun
    iteration(run="small", iteration=1, store=str(beside))
    one, other = (manifests_of(store, "small") for store in (in_turn, beside))
    assert {name: (m.key, m.digest, m.figures) for name, m in one.items()} == {
        name: (m.key, m.digest, m.figures) for name, m in other.items()
    }
    assert {name: other[name] for name in begun} == begun
    assert not [each for each in caplog.records if "could not be" in each.getMessage()]


def test_a_missing_artifact_is_made_again_and_only_that(small_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy"
    shutil.copytree(small_store, store)
    before = manifests_of(store, "small")
    (gone,) = (store / "runs/small/iteration=1").glob("score_and_filter/*/_manifest.json")
    gone.unlink()
    evolve(run="small", iterations=1, store=str(store))
    after = manifests_of(store, "small")
    assert {name: m.digest for name, m in after.items()} == {name: m.digest for name, m in before.items()}
    made = [name for name in after if after[name] != before[name]]
    assert made in ([], ["iteration=1/score_and_filter"])
    assert gone.exists()


def test_no_path_of_the_store_is_inside_an_artifact(small_store: Path) -> None:
    text = str(small_store).encode()
    for path in small_store.glob("runs/small/iteration=*/*/*/**/*"):
        if path.is_file() and path.name != "_manifest.json":
            assert text not in path.read_bytes(), path


def test_the_manifest_carries_configuration_inputs_and_versions(small_store: Path) -> None:
    manifests = manifests_of(small_store, "small")
    for manifest in manifests.values():
        assert manifest.config["seed"] == 0
        assert re.fullmatch("[0-9a-f]{64}", manifest.digest)
        assert {"rzero", "torch", "polars"} <= set(manifest.versions)
    solver = manifests["iteration=1/train_solver"]
    assert solver.inputs["curriculum"].digest == manifests["iteration=1/score_and_filter"].digest
    assert json.loads((small_store / "runs/small/run.json").read_text())["run"] == "small"


def test_every_stage_that_draws_says_which_share_of_its_completions_was_cut(small_store: Path) -> None:
    tables = {
        **dict.fromkeys(("generate_questions", "sample_answers", "sample_evaluation"), "part-*.parquet"),
        **dict.fromkeys(("train_challenger", "train_solver"), "rollouts/part-*.parquet"),
    }
    figures = {name: m.figures for name, m in manifests_of(small_store, "small").items()}
    for stage, files in tables.items():
        rows = pl.read_parquet(small_store / f"runs/small/iteration=1/{stage}/*/{files}")
        expected = (rows["finish_reason"] == "length").mean()
        assert figures[f"iteration=1/{stage}"]["truncated_share"] == pytest.approx(expected, abs=1e-6)


def test_an_answer_says_how_long_its_prompt_was(small_store: Path) -> None:
    folder = small_store / "runs/small/iteration=1"
    answers = pl.read_parquet(folder / "sample_answers/*/part-*.parquet")
    questions = pl.read_parquet(folder / "generate_questions/*/part-*.parquet")
    tokenizer = build_tokenizer()
    asked = answers.join(questions.select("question_id", "question"), on="question_id")
    for question, tokens in asked.select("question", "prompt_tokens").unique().iter_rows():
        assert tokens == len(tokenizer(f"{SOLVER}{question}\n", add_special_tokens=False)["input_ids"])


def test_the_seconds_of_a_sharded_stage_are_those_of_its_shards(small_store: Path) -> None:
    (folder,) = small_store.glob("runs/small/iteration=1/sample_answers/*")
    manifest = Manifest.model_validate_json((folder / "_manifest.json").read_bytes())
    work = small_store / "runs/small/_work/iteration=1/sample_answers" / folder.name
    parts = [json.loads(path.read_bytes()) for path in work.glob("parts/*.json")]
    assert len(parts) == 3
    assert all(part["seconds"] > 0 for part in parts)
    assert manifest.seconds >= sum(part["seconds"] for part in parts)


def test_a_run_that_remembers_replays_kept_questions_and_tells_what_was_asked_before(
    prefect_server: None, tmp_path: Path
) -> None:
    overrides = small_overrides() | {
        # Two terms: so few questions that the second iteration asks some of the first again.
        "base_model.tiny.solver_terms": "2",
        "challenger.reward.memory.weight": "0.5",
        "memory.replay_share": "0.5",
    }
    evolve(run="remembers", preset="tiny", iterations=2, store=str(tmp_path), overrides=overrides)
    made = manifests_of(tmp_path, "remembers")
    before = made["iteration=1/score_and_filter"].digest
    assert made["iteration=2/train_challenger"].inputs["earlier"].digest == before
    assert made["iteration=2/score_and_filter"].inputs["earlier"].digest == before

    def table(iteration: int, pattern: str) -> pl.DataFrame:
        return pl.read_parquet(f"{tmp_path}/runs/remembers/iteration={iteration}/{pattern}")

    first, second = (table(iteration, "score_and_filter/*/part-*.parquet") for iteration in (1, 2))
    asked = set(first["question"].drop_nulls())
    again = second.filter(pl.col("question").is_in(asked))
    assert again.height > 0, "the test needs a question that is asked twice"
    assert again["near_earlier"].all()
    assert (again["reward"] <= 0.5).all()
    assert not first["near_earlier"].any()
    memory = table(2, "score_and_filter/*/memory/*.parquet")
    assert memory.height == first["question"].count() + second["question"].count()
    curriculum = table(2, "score_and_filter/*/curriculum/*.parquet")
    replayed = curriculum.filter(pl.col("iteration") == 1)
    kept = table(1, "score_and_filter/*/curriculum/*.parquet")["question"]
    assert 0 < replayed.height == made["iteration=2/score_and_filter"].figures["replayed"]
    assert set(replayed["question"]) <= set(kept)
    assert curriculum["extra_info"].struct.field("index").to_list() == list(range(curriculum.height))


def test_a_reward_term_of_another_package_has_its_columns_and_its_say(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_reward_term(tmp_path, monkeypatch)
    overrides = small_overrides() | {"challenger.reward.words.weight": "0.5"}
    evolve(run="words", preset="tiny", iterations=1, store=str(tmp_path / "store"), overrides=overrides)
    base = f"{tmp_path}/store/runs/words/iteration=1"
    reward = (pl.col("uncertainty") + 0.5 * pl.col("word_share")) * pl.col("answered_share")
    reward = (reward - pl.col("cluster_share")).clip(lower_bound=0.0)
    for table in ("train_challenger/*/rollouts", "train_challenger/*/probe", "score_and_filter/*"):
        well_formed = pl.read_parquet(f"{base}/{table}/part-*.parquet").filter(
            pl.col("question").is_not_null()
        )
        assert well_formed.height > 0
        assert well_formed["word_share"].min() == 0.2, "the shortest chains are two words of ten"
        assert (well_formed["reward"] - well_formed.select(reward).to_series()).abs().max() < 1e-12
