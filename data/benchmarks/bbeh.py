"""BIG-Bench Extra Hard: 23 reasoning tasks with short answers (Kazemi et al. 2025).

Data: MrLight/bbeh-eval, split train (its only one), 4520 problems; its repository is not pinned to a
commit, the run freezes what it read. Metric: greedy accuracy over all problems (the paper; BBEH itself
reports a harmonic mean over tasks). Grading: the answer as a string, by the rules of BBEH's evaluator:
case, quotes, a bracketed letter and the spelling of a number do not count.
"""

from data.benchmark import Benchmark, HubFiles

BENCHMARK = Benchmark(
    area="general",
    size=4520,
    hub=HubFiles("MrLight/bbeh-eval", "*train*"),
    question="question",
    group="task",
    grading="text",
)
