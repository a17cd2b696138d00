"""The real lm-evaluation-harness runs exported tasks and finds what rzero found, problem by problem.

It wants an environment of its own, named by RZERO_LM_EVAL_PYTHON: docs/evaluation.md says how to make it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from data.backends import TransformersSamplerConfig
from data.prompts import Prompts
from data.resolve import resolve
from flows.cli import main
from flows.hub.harness import FOLDER, write_harness
from infra.artifacts.problems import problems_of
from infra.artifacts.runs import freeze_run
from infra.samplers.open import open_sampler
from infra.samplers.protocol import SamplingParams
from infra.store.store import Store
from tests.support.benchmark_rows import write_data
from tests.support.chat_tokenizers import CHATML, QWEN_TOKENS, chat_tokenizer, write_base_model

VARIABLE = "RZERO_LM_EVAL_PYTHON"
# It imports another torch, and transformers, in a process of its own.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(VARIABLE not in os.environ, reason=f"${VARIABLE} names no interpreter with lm-eval"),
]


def _evaluated(model: Path, out: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The results of all tasks of an exported folder, and their samples, by task."""
    arguments = ["--include_path", str(model / FOLDER), "--tasks", "rzero", "--model", "hf", "--log_samples"]
    arguments += ["--model_args", f"pretrained={model},dtype=float32,add_bos_token=False", "--device", "cpu"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [os.environ[VARIABLE], "-m", "lm_eval", *arguments, "--batch_size", "16", "--output_path", str(out)],
        env=environment | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        cwd=out.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (folder,) = out.iterdir()
    (results,) = folder.glob("results_*.json")
    samples = {
        file.name.removeprefix("samples_").rpartition("_")[0]: [
            json.loads(line) for line in file.read_text().splitlines()
        ]
        for file in folder.glob("samples_*.jsonl")
    }
    found: dict[str, Any] = json.loads(results.read_text())["results"]
    return found, samples


def test_the_harness_finds_what_rzero_found(small_store: Path, tmp_path: Path) -> None:
    model = tmp_path / "solver"
    place = ["--to", str(model), "--store", str(small_store)]
    done = CliRunner().invoke(main, ["export", "small", "--iteration", "1", "--harness", "lm-eval", *place])
    assert done.exit_code == 0, done.output
    results, samples = _evaluated(model, tmp_path / "out")

    drawn = pl.read_parquet(f"{small_store}/runs/small/iteration=1/sample_evaluation/*/part-*.parquet")
    ours = dict(drawn.filter(pl.col("mode") == "greedy").select("problem_id", "completion").iter_rows())
    greedy = {each["doc"]["problem_id"]: each for each in samples["rzero_arithmetic_greedy"]}
    assert {number: each["resps"][0][0] for number, each in greedy.items()} == ours
    assert [each["same_as_rzero"] for each in greedy.values()] == [1.0] * len(ours)
    assert results["rzero_arithmetic_greedy"]["same_as_rzero,greedy"] == 1.0

    sampled = samples["rzero_arithmetic_sampled"]
    assert {len(each["resps"][0]) for each in sampled} == {4}
    # Drawn with other dice.
    assert any(len(set(each["resps"][0])) > 1 for each in sampled)
    figures = results["rzero_arithmetic_sampled"]
    assert abs(figures["correct,sampled"] - figures["rzero_correct,sampled"]) < 0.3


def test_an_answer_ends_with_its_turn_in_a_batch_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path)))
    overrides = {"evaluation.benchmarks": ["math500", "bbeh"], "evaluation.max_tokens": 24}
    overrides |= {"base_model.prompt_style": "chat"}
    config = resolve("chat", "smollm2-135m", overrides)
    store = Store(str(tmp_path / "store"))
    freeze_run(store, config)
    model = write_base_model(tmp_path / "model", chat_tokenizer(CHATML), "<|im_end|>")
    write_harness(store, config, 0, model)
    _, samples = _evaluated(model, tmp_path / "out")

    params = SamplingParams(max_tokens=24, temperature=0.0)
    for name in config.evaluation.benchmarks:
        problems = problems_of(store, config, name)
        texts = [Prompts(config, model).solver(problem.problem) for problem in problems]
        theirs = samples[f"rzero_{name}_greedy"]
        assert [each["arguments"]["gen_args_0"]["arg_0"] for each in theirs] == texts
        with open_sampler(TransformersSamplerConfig(backend="transformers", device="cpu"), model) as sampler:
            ours = [drawn[0].text for drawn in sampler.sample(texts, params, [0] * len(texts))]
        for token in QWEN_TOKENS:
            # The harness leaves special tokens out of what it shows.
            ours = [text.replace(token, "") for text in ours]
        assert [each["resps"][0][0] for each in theirs] == ours
