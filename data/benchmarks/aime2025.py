"""AIME 2025: both papers of the American Invitational Mathematics Examination.

Data: yentinglin/aime_2025, configuration default, split train (its only one), 30 problems, answers 000 to
999. Metric: mean@32 at a temperature (the paper; its code drew 32 copies at temperature 0). Grading: by
value.
"""

from data.benchmark import Benchmark, HubFiles

BENCHMARK = Benchmark(
    area="math",
    size=30,
    hub=HubFiles(
        "yentinglin/aime_2025",
        "data/train-00000-of-00001-*.parquet",
        "6f71d77b0b89b9dabe07ab466c51df33f514df7f",
    ),
    samples=32,
    greedy=False,
)
