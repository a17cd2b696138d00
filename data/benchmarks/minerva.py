"""Minerva Math: undergraduate science problems of MIT OpenCourseWare (Lewkowycz et al. 2022).

Data: zwhe99/simplerl-minerva-math, split test, 272 problems; its repository is not pinned to a commit, the
run freezes what it read. Metric: greedy accuracy (the paper). Grading: by value, exactly.
"""

from data.benchmark import Benchmark, HubFiles

BENCHMARK = Benchmark(area="math", size=272, hub=HubFiles("zwhe99/simplerl-minerva-math", "*test*"))
