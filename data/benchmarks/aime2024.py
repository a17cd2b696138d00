"""AIME 2024: both papers of the American Invitational Mathematics Examination.

Data: HuggingFaceH4/aime_2024, split train (its only one), 30 problems, answers 000 to 999. Metric: mean@32
at a temperature (the paper; its code drew 32 copies at temperature 0). Grading: by value.
"""

from data.benchmark import Benchmark, HubFiles

BENCHMARK = Benchmark(
    area="math",
    size=30,
    hub=HubFiles(
        "HuggingFaceH4/aime_2024",
        "data/train-00000-of-00001.parquet",
        "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
    ),
    samples=32,
    greedy=False,
)
