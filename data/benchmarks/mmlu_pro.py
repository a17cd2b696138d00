"""MMLU-Pro: multiple choice with up to ten options in 14 fields (Wang et al. 2024).

Data: TIGER-Lab/MMLU-Pro, split test, 12032 problems. Metric: greedy accuracy (the paper). Grading: the
letter; no letter is wrong (the authors' code draws one at random).
"""

from data.benchmark import CHOICE_INSTRUCTION, Benchmark, HubFiles

BENCHMARK = Benchmark(
    area="general",
    size=12032,
    hub=HubFiles(
        "TIGER-Lab/MMLU-Pro", "data/test-00000-of-00001.parquet", "b189ec765aa7ed75c8acfea42df31fdae71f97be"
    ),
    question="question",
    options="options",
    group="category",
    instruction=CHOICE_INSTRUCTION,
    grading="choice",
)
