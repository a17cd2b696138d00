"""AMC 2023: the problems of the AMC 12 of 2023 that have a numerical answer.

Data: zwhe99/amc23, split test, 40 problems; the answer is stored as a float. Metric: mean@32 at a
temperature (the paper; its code drew 32 copies at temperature 0). Grading: by value.
"""

from data.benchmark import Benchmark, HubFiles

BENCHMARK = Benchmark(
    area="math",
    size=40,
    hub=HubFiles("zwhe99/amc23", "*test*", "f9810c0439cd3c670ec885d328a2f06a87f3694a"),
    question="question",
    samples=32,
    greedy=False,
)
