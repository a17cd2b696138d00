"""Scoring of a batch of Challenger completions against a frozen Solver: the Challenger's reward, in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.rewards.challenger import ChallengerReward
from tasks.rewards.term import Batch
from tasks.voting.domains import answer_reader, proposal_reader
from tasks.voting.equivalence import Grader
from tasks.voting.votes import Vote, majority

AskSolver = Callable[[Sequence[str]], Sequence[Sequence[str]]]
"""Questions in, the texts of the Solver's completions to each of them out."""


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """One completion of the Challenger with its reward; `vote` is None where badly formed.

    `terms` are the columns of the reward's terms.
    """

    question: str | None
    answer: str | None
    reason: str | None
    vote: Vote | None
    terms: Mapping[str, Any]
    reward: float

    @property
    def majority_answer(self) -> str | None:
        """The pseudo-label; None where badly formed, or without an answer."""
        return self.vote.answer if self.vote else None

    @property
    def p_hat(self) -> float:
        """Votes over samples that answered; 0 where badly formed."""
        return self.vote.p_hat if self.vote else 0.0

    @property
    def answered_share(self) -> float:
        """Share of the samples that answered; 0 where badly formed."""
        return answered_share(self.vote)

    def reward_columns(self) -> dict[str, Any]:
        """The reward-part columns of the `rollouts` table."""
        return {
            "question": self.question,
            "answer": self.answer,
            "reason": self.reason,
            "majority_answer": self.majority_answer,
            "p_hat": self.p_hat,
            **self.terms,
        }


def answered_share(vote: Vote | None) -> float:
    """Share of the samples that gave an answer."""
    return 1.0 - vote.abstentions / vote.samples if vote and vote.samples else 0.0


def score_questions(
    completions: Sequence[str],
    ask_solver: AskSolver,
    grader: Grader,
    reward: ChallengerReward,
    domain: str,
    earlier: Sequence[str] = (),
) -> list[ScoredQuestion]:
    """The Challenger's rewards for a batch (paper, section 2.2), in the batch's order.

    `earlier` holds the questions of earlier iterations, where they are remembered.
    """
    read_proposal, read_answer = proposal_reader(domain), answer_reader(domain)
    proposals = [read_proposal(completion) for completion in completions]
    valid = [index for index, (_, _, reason) in enumerate(proposals) if reason is None]
    answers = ask_solver([str(proposals[index][0]) for index in valid])
    samples = [[read_answer(text)[0] for text in texts] for texts in answers]
    votes = dict(zip(valid, majority(samples, grader), strict=True))
    return score_votes(proposals, [votes.get(index) for index in range(len(proposals))], reward, earlier)


def score_votes(
    proposals: Sequence[tuple[str | None, str | None, str | None]],
    votes: Sequence[Vote | None],
    reward: ChallengerReward,
    earlier: Sequence[str] = (),
) -> list[ScoredQuestion]:
    """Rewards from proposals (question, answer, reason) and votes (None where badly formed)."""
    batch = Batch(
        questions=[
            question if vote else None for (question, _, _), vote in zip(proposals, votes, strict=True)
        ],
        valid=np.array([vote is not None for vote in votes], dtype=bool),
        p_hat=np.array([vote.p_hat if vote else 0.0 for vote in votes]),
        answered=np.array([answered_share(vote) for vote in votes]),
        majority_answers=[vote.answer if vote else None for vote in votes],
        own_answers=[answer for _, answer, _ in proposals],
        earlier=earlier,
    )
    columns, rewards = reward.score(batch)
    return [
        ScoredQuestion(*proposed, vote, {name: values[index] for name, values in columns.items()}, value)
        for index, (proposed, vote, value) in enumerate(zip(proposals, votes, rewards, strict=True))
    ]
