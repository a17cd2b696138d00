"""How much questions resemble those of earlier iterations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.rewards.term import Floats


def likeness(questions: Sequence[str], earlier: Sequence[str]) -> tuple[Floats, Floats]:
    """The largest and the mean similarity of each question to the earlier ones, each of shape (questions,).

    The similarity is BLEU with the earlier question as the hypothesis, as in the repetition penalty, and 1
    for the same text. Texts are compared without case and spaces; of earlier ones that are then the same,
    one counts. Without earlier questions all is 0.
    """
    from tasks.rewards import bleu

    spelt = [" ".join(question.lower().split()) for question in questions]
    known = sorted({" ".join(question.lower().split()) for question in earlier})
    asked = sorted(set(spelt))
    places = {question: number for number, question in enumerate(asked)}
    largest, total = np.zeros(len(asked)), np.zeros(len(asked))
    if known and asked:
        batch = bleu.encode([*known, *asked])
        columns = slice(len(known), len(known) + len(asked))
        for rows in bleu.row_blocks(len(known), len(asked)):
            block = bleu.dense_block(batch, rows, columns)
            for row, question in enumerate(known[rows]):
                if question in places:
                    block[row, places[question]] = 1.0
            np.maximum(largest, block.max(axis=0), out=largest)
            total += block.sum(axis=0)
    order = [places[question] for question in spelt]
    return largest[order], total[order] / max(1, len(known))
