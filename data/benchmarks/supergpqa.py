"""SuperGPQA: graduate multiple choice with up to ten options in 285 fields (M-A-P team 2025).

Data: m-a-p/SuperGPQA, split train (its only one), 26529 problems. Metric: greedy accuracy (the paper).
Grading: the letter; no letter is wrong. The column `answer` holds the right option's text, `answer_letter`
its letter.
"""

from data.benchmark import CHOICE_INSTRUCTION, Benchmark, HubFiles

BENCHMARK = Benchmark(
    area="general",
    size=26529,
    hub=HubFiles("m-a-p/SuperGPQA", "SuperGPQA-all.jsonl", "4430d4458112c7d4497fdcf94d7cc223313d6acf"),
    question="question",
    answer="answer_letter",
    options="options",
    group="discipline",
    instruction=CHOICE_INSTRUCTION,
    grading="choice",
)
