"""MATH-500: 500 problems of the MATH test set (Hendrycks et al. 2021; Lightman et al. 2023).

Data: HuggingFaceH4/MATH-500, split test, 500 problems in seven subjects. Metric: greedy accuracy (the
paper). Grading: by value. The authors of R-Zero read the same 500 problems from simple-evals' CSV.
"""

from data.benchmark import Benchmark, HubFiles

BENCHMARK = Benchmark(
    area="math",
    size=500,
    hub=HubFiles("HuggingFaceH4/MATH-500", "test.jsonl", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
    group="subject",
)
