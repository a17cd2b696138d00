"""Scoring of a batch of Challenger completions against a frozen Solver: the Challenger's reward, in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.curriculum.diversity import near_earlier
from tasks.rewards.challenger import challenger_rewards, cluster_shares, uncertainty
from tasks.voting.domains import answer_reader, proposal_reader
from tasks.voting.equivalence import Grader
from tasks.voting.votes import Vote, majority

AskSolver = Callable[[Sequence[str]], Sequence[Sequence[str]]]
"""Questions in, the texts of the Solver's completions to each of them out."""


@dataclass(frozen=True, slots=True)
class Penalties:
    """What a question's reward is lessened by: near-copies in its batch, and near-copies of earlier ones.

    `earlier` holds the questions of earlier iterations (none in the paper).
    """

    repetition_weight: float = 1.0
    repetition_threshold: float = 0.5
    memory_weight: float = 0.0
    earlier: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """One completion of the Challenger with the parts of its reward; `vote` is None where badly formed."""

    question: str | None
    answer: str | None
    reason: str | None
    vote: Vote | None
    uncertainty: float
    cluster_share: float
    near_earlier: bool
    reward: float

    @property
    def p_hat(self) -> float:
        """Votes over samples that answered; 0 where badly formed."""
        return self.vote.p_hat if self.vote else 0.0

    @property
    def answered_share(self) -> float:
        """Share of the samples that answered; 0 where badly formed."""
        return answered_share(self.vote)

    def parts(self) -> dict[str, Any]:
        """The reward-part columns of the `rollouts` table."""
        return {
            "question": self.question,
            "answer": self.answer,
            "reason": self.reason,
            "majority_answer": self.vote.answer if self.vote else None,
            "p_hat": self.p_hat,
            "answered_share": self.answered_share,
            "uncertainty": self.uncertainty,
            "cluster_share": self.cluster_share,
            "near_earlier": self.near_earlier,
        }


def answered_share(vote: Vote | None) -> float:
    """Share of the samples that gave an answer."""
    return 1.0 - vote.abstentions / vote.samples if vote and vote.samples else 0.0


def score_questions(
    completions: Sequence[str],
    ask_solver: AskSolver,
    grader: Grader,
    penalties: Penalties,
    domain: str = "mathematics",
) -> list[ScoredQuestion]:
    """The Challenger's rewards for a batch (paper, section 2.2), in the batch's order."""
    read_proposal, read_answer = proposal_reader(domain), answer_reader(domain)
    proposals = [read_proposal(completion) for completion in completions]
    valid = [index for index, (_, _, reason) in enumerate(proposals) if reason is None]
    answers = ask_solver([str(proposals[index][0]) for index in valid])
    samples = [[read_answer(text)[0] for text in texts] for texts in answers]
    votes: list[Vote | None] = [None] * len(completions)
    for index, vote in zip(valid, majority(samples, grader), strict=True):
        votes[index] = vote
    return score_votes(proposals, votes, penalties)


def score_votes(
    proposals: Sequence[tuple[str | None, str | None, str | None]],
    votes: Sequence[Vote | None],
    penalties: Penalties,
) -> list[ScoredQuestion]:
    """Rewards from proposals (question, answer, reason) and votes (None where badly formed)."""
    valid = np.array([vote is not None for vote in votes], dtype=bool)
    p_hat = np.array([vote.p_hat if vote else 0.0 for vote in votes])
    answered = np.array([answered_share(vote) for vote in votes])
    questions = [
        question if well_formed else None
        for (question, _, _), well_formed in zip(proposals, valid, strict=True)
    ]
    shares = np.where(valid, cluster_shares(questions, penalties.repetition_threshold), 0.0)
    near = near_earlier([question or "" for question in questions], penalties.earlier)
    uncertainties = np.where(valid, uncertainty(p_hat), 0.0)
    rewards = challenger_rewards(
        p_hat, shares, valid, answered, penalties.repetition_weight, near, penalties.memory_weight
    )
    return [
        ScoredQuestion(
            question=proposals[index][0],
            answer=proposals[index][1],
            reason=proposals[index][2],
            vote=votes[index],
            uncertainty=float(uncertainties[index]),
            cluster_share=float(shares[index]),
            near_earlier=near[index],
            reward=float(rewards[index]),
        )
        for index in range(len(votes))
    ]
