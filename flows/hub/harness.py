"""A run's evaluation as tasks of lm-evaluation-harness: the same prompts, problems and sampling.

For each benchmark and way of sampling a YAML file and its problems as JSON lines; for all of them one file of
Python that reads and grades answers.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import yaml

from data import benchmarks, domains
from data.config import EvaluationConfig, RunConfig
from data.foreign import one_line
from data.prompts import Prompts
from data.resolve import ConfigError
from flows.hub import harness_grading
from flows.summary import find_step
from infra.artifacts.artifact import read_table
from infra.artifacts.problems import problems_of
from infra.samplers.texts import end_tokens
from infra.store.store import Store
from tasks.grading import reading
from tasks.voting import extraction
from tasks.voting.reading import lexicon

FOLDER = "lm-eval"
"""Where the tasks lie, within the folder of the model."""
TAG = "rzero"
"""Stands for all tasks of an export; their names begin with it."""


def check_exportable(config: RunConfig) -> None:
    """ConfigError where a harness could not grade what the run's benchmarks and its domain grade by."""
    domain = domains.get(config.domain)
    if not config.evaluation.benchmarks:
        raise ConfigError(f"--harness: evaluation.benchmarks of {config.run!r} is empty")
    if domain.read_answer is not None:
        raise ConfigError(f"--harness: the domain {config.domain!r} reads answers in its own way")
    for name in config.evaluation.benchmarks:
        if benchmarks.get(name).grading == "domain" and domain.equal is not None:
            raise ConfigError(
                f"--harness: {name!r} is graded by the equality of the domain {config.domain!r}"
            )


def write_harness(store: Store, config: RunConfig, iteration: int, model_dir: Path) -> None:
    """Write the tasks into the folder of the iteration's Solver, with its verdicts where it was measured.

    ConfigError where the model has no tokenizer that can be loaded, or transformers is missing.
    """
    folder = model_dir / FOLDER
    folder.mkdir()
    settings = config.evaluation
    ends = _ends(model_dir)
    prompts = Prompts(config, model_dir)
    verdicts = _verdicts(store, config, iteration)
    names: list[str] = []
    for benchmark in settings.benchmarks:
        problems = problems_of(store, config, benchmark)
        for mode, samples in benchmarks.get(benchmark).modes(settings).items():
            names.append(task_name(benchmark, mode, names))
            rows = [
                {
                    "problem_id": problem.problem_id,
                    "mode": mode,
                    "grading": benchmarks.get(benchmark).grading,
                    "prompt": prompts.solver(problem.problem),
                    "gold": problem.gold,
                    "accepted": list(problem.accepted),
                    "tolerance": problem.tolerance,
                }
                | verdicts.get((benchmark, mode, problem.problem_id), {})
                for problem in problems
            ]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{names[-1]}.jsonl").write_text(lines, encoding="utf-8")
            task = _task(names[-1], settings, mode, samples, ends, measured="rzero_correct" in rows[0])
            text = yaml.dump(task, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
            (folder / f"{names[-1]}.yaml").write_text(text, encoding="utf-8")
    modules = (lexicon, extraction, reading, harness_grading)
    (folder / "grading.py").write_text(merged_source(modules), encoding="utf-8")


def command_of(config: RunConfig, folder: Path) -> str:
    """The command that runs all tasks of an exported folder."""
    model = f"pretrained={folder},dtype={config.sampler.dtype},add_bos_token=False"
    arguments = [
        "--include_path",
        str(folder / FOLDER),
        "--tasks",
        TAG,
        "--model",
        "hf",
        "--model_args",
        model,
    ]
    return shlex.join(["lm_eval", *arguments])


def merged_source(modules: Sequence[ModuleType]) -> str:
    """The modules, in the order in which they import each other, as one that needs nothing of rzero."""
    parts = ["# Made by `rzero export` out of files of rzero.\nfrom __future__ import annotations\n"]
    for module in modules:
        source = inspect.getsource(module)
        imports = [
            range(node.lineno, (node.end_lineno or node.lineno) + 1)
            for node in ast.parse(source).body
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _OURS
        ]
        lines = enumerate(source.splitlines(keepends=True), 1)
        parts.append("".join(line for number, line in lines if not any(number in each for each in imports)))
    return "\n\n".join(parts)


_OURS = ("__future__", "data", "tasks")


class _Function(str):
    """A name that YAML for the harness calls a function."""


class _Dumper(yaml.SafeDumper):
    """Writes such names."""


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", str(name)))


def _task(
    name: str, settings: EvaluationConfig, mode: str, samples: int, ends: dict[int, str], measured: bool
) -> dict[str, Any]:
    """A task as the harness reads it."""
    drawn: dict[str, Any] = {"until": list(ends.values()), "max_gen_toks": settings.max_tokens}
    if mode == "greedy" or settings.temperature == 0:
        drawn |= {"do_sample": False}
    else:
        drawn |= {"do_sample": True, "temperature": settings.temperature}
        drawn |= {"top_p": settings.top_p, "top_k": settings.top_k}
    if len(ends) > 1:
        # Unlike a text to stop at, they end each answer of a batch on its own.
        drawn["eos_token_id"] = list(ends)
    metrics = ["correct"]
    if measured:
        metrics += ["rzero_correct", "same_as_rzero"][: 2 if mode == "greedy" else 1]
    return {
        "task": name,
        "tag": TAG,
        "custom_dataset": _Function("grading.problems"),
        "dataset_kwargs": {"file": f"{name}.jsonl"},
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_target": "gold",
        "generation_kwargs": drawn,
        "repeats": samples,
        "filter_list": [{"name": mode, "filter": [{"function": "take_first_k", "k": samples}]}],
        "process_results": _Function("grading.graded"),
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in metrics
        ],
        "metadata": {"version": 1},
    }


def task_name(benchmark: str, mode: str, taken: Sequence[str]) -> str:
    """A name that the harness, a shell and a file system take."""
    name = f"{TAG}_{re.sub(r'[^0-9A-Za-z]+', '_', benchmark)[:150]}_{mode}"
    return f"{name}_{len(taken)}" if name in taken else name


def _ends(model_dir: Path) -> dict[int, str]:
    """The tokens that end an answer, as rzero's samplers know them, with their texts."""
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
        return {token: str(tokenizer.decode([token])) for token in sorted(end_tokens(model_dir, tokenizer))}
    except ImportError:
        raise ConfigError("--harness: transformers is missing: pip install 'rzero[local]'") from None
    except Exception as error:
        # Of what others wrote, transformers complains in many ways.
        raise ConfigError(
            f"--harness: the model's tokenizer cannot be read: {one_line(str(error), 160)}"
        ) from None


def _verdicts(store: Store, config: RunConfig, iteration: int) -> dict[tuple[str, str, int], dict[str, Any]]:
    """By benchmark, mode and problem what rzero's rules found; nothing where the Solver was not measured."""
    ref = find_step(store, config, iteration, "evaluate").step.ref
    if ref is None:
        return {}
    columns = ["benchmark", "mode", "problem_id", "sample", "answer", "rule_correct"]
    rows: Any = pl.from_arrow(read_table(store, ref, columns=columns))
    grouped = rows.sort("sample").group_by("benchmark", "mode", "problem_id", maintain_order=True)
    return {
        (row["benchmark"], row["mode"], row["problem_id"]): {
            "rzero_answers": row["answer"],
            "rzero_correct": row["rule_correct"],
        }
        for row in grouped.agg("answer", "rule_correct").iter_rows(named=True)
    }
