"""Gates that could never do what they are set to do are refused before a run begins."""

from __future__ import annotations

from data import benchmarks, domains
from data.benchmark import BenchmarkError
from data.config import RunConfig
from data.resolve import ConfigError


def check_gates(config: RunConfig) -> None:
    """ConfigError for a gate that is to act on a figure, or by one, which the run does not have.

    A gate that only warns is left alone: it says nothing where nothing is known.
    """
    acting = {name: gate.action for name, gate in config.gates.by_name().items()}
    acting = {name: action for name, action in acting.items() if action not in ("off", "warn")}
    if "label_accuracy" in acting and not (domains.get(config.domain).knows_truth or config.evaluation.judge):
        raise ConfigError(
            f"gates.label_accuracy.action: nothing says whether a label of the domain {config.domain!r} is "
            "right; set evaluation.judge, or leave the gate at 'warn' or 'off'"
        )
    by_score = [name for name in acting if name == "accuracy_drop" or acting[name] == "best_solver"]
    if by_score and not _measures_pass_at_1(config):
        raise ConfigError(
            f"gates.{by_score[0]}.action: {acting[by_score[0]]!r} goes by pass@1, and no benchmark of "
            "evaluation.benchmarks is sampled; name one that is, set evaluation.samples, or choose another "
            "action"
        )


def _measures_pass_at_1(config: RunConfig) -> bool:
    try:
        found = [benchmarks.get(name) for name in config.evaluation.benchmarks]
    except BenchmarkError as error:
        raise ConfigError(f"evaluation.benchmarks: {error}") from None
    return any("sampled" in benchmark.modes(config.evaluation) for benchmark in found)
