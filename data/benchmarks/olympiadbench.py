"""OlympiadBench: olympiad mathematics, English, text only, open answers (He et al. 2024).

Data: zwhe99/simplerl-OlympiadBench, split test, 675 problems; its repository is not pinned to a commit, the
run freezes what it read. Metric: greedy accuracy (the paper). Grading: by value; where a problem has
several answers **all** are wanted, in any order (the authors' code asks for the first alone), and where the
data state an error bound (column `error`) a number within it is right.
"""

from data.benchmark import Benchmark, BenchmarkError, HubFiles, Row


def all_answers(row: Row) -> str:
    """Every final answer, with commas between them."""
    answers = row["final_answer"]
    found = [answers] if isinstance(answers, str) else list(answers or ())
    if not found:
        raise BenchmarkError("the column 'final_answer' has a row without an answer")
    return ", ".join(str(answer).strip().strip("$").strip() for answer in found)


def error_bound(row: Row) -> float:
    """The error that the data allow; 0 where none is stated, or one for each of several answers."""
    try:
        return abs(float(row.get("error") or 0))
    except (TypeError, ValueError):
        return 0.0


BENCHMARK = Benchmark(
    area="math",
    size=675,
    hub=HubFiles("zwhe99/simplerl-OlympiadBench", "*test*"),
    question="question",
    answer=all_answers,
    tolerance=error_bound,
    group="subfield",
)
