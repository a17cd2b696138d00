"""GSM8K: school word problems (Cobbe et al. 2021).

Data: openai/gsm8k, configuration main, split test, 1319 problems. Metric: greedy accuracy (the paper).
Grading: by value, against what follows the last `####` of the worked answer.
"""

from data.benchmark import Benchmark, BenchmarkError, HubFiles, Row


def final_answer(row: Row) -> str:
    """The number after the last `####`."""
    _, mark, answer = str(row["answer"]).rpartition("####")
    if not mark:
        raise BenchmarkError("the column 'answer' has a row without '####'")
    return answer.strip()


BENCHMARK = Benchmark(
    area="math",
    size=1319,
    hub=HubFiles(
        "openai/gsm8k", "main/test-00000-of-00001.parquet", "740312add88f781978c0658806c59bc2815b9866"
    ),
    question="question",
    answer=final_answer,
)
