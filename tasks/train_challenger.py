"""Stage 1: train the Challenger with GRPO against the frozen Solver (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data import domains
from data.prompts import Prompts
from infra.artifacts.artifact import ArtifactRef
from infra.machine.gpus import side_by_side, waking_share
from infra.samplers import Sampler, SamplingParams, open_sampler
from infra.scratch import ScratchFolder
from infra.trainers import open_trainer
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from tasks.curriculum.memory import remembered
from tasks.curriculum.questions import AskSolver, ScoredQuestion, score_questions
from tasks.curriculum.vocabulary import dropout_of
from tasks.rewards.challenger import ChallengerReward
from tasks.rewards.term import Column
from tasks.stage.task import stage
from tasks.stage.training import add_training, step_reporter
from tasks.stage.work import Work
from tasks.voting.domains import grader_of

Score = Callable[[Sequence[str], str], list[ScoredQuestion]]
"""Scores a batch of completions; the label seeds the Solver's answers."""


@stage("train_challenger")
def train_challenger(
    work: Work, challenger: ArtifactRef, solver: ArtifactRef, earlier: ArtifactRef | None = None
) -> None:
    """Train the Challenger: the reward is high where the frozen Solver's answers split in half."""
    config = work.config.challenger
    formula = ChallengerReward(config.reward)
    known = [row["question"] for row in remembered(work, earlier)]
    prompts = Prompts(work.config, work.model(challenger))
    trainer_config, sampler_config = side_by_side(work.config.trainer, work.config.sampler)
    # The untrained Challenger is sampled before anything else takes the device.
    before = _first_questions(work, challenger, prompts) if config.probe_questions else []
    with (
        open_sampler(sampler_config, work.model(solver)) as sampler,
        grader_of(work.config.domain) as grader,
        ScratchFolder("challenger") as folder,
    ):

        def score(completions: Sequence[str], label: str) -> list[ScoredQuestion]:
            ask = _ask(work, sampler, prompts, label)
            return score_questions(completions, ask, grader, formula, work.config.domain, earlier=known)

        def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
            scored = score([each.completion.text for each in rollouts], f"step {rollouts[0].step}")
            return [ScoredRollout(question.reward, question.reward_columns()) for question in scored]

        if before:
            _probe(work, before, score, formula.columns)
        result = open_trainer(trainer_config).train(
            TrainingJob(
                role="challenger",
                model_dir=work.model(challenger),
                prompts=prompts.challengers(config.steps * config.prompts_per_step, work.seed),
                config=config,
                seed=work.seed,
                output_dir=folder,
                reward_columns=formula.columns,
                waking_share=waking_share(sampler_config),
                dropout=dropout_of(work),
            ),
            reward,
            work.checkpoints(),
            step_reporter(work, config.steps),
        )
        add_training(work, result, "challenger")
        work.figures["grader_timeouts"] = grader.timeouts


def _ask(work: Work, sampler: Sampler, prompts: Prompts, label: str) -> AskSolver:
    """The frozen Solver, with seeds of its own for each step."""
    params = SamplingParams.of(work.config.answers, samples=work.config.challenger.reward_samples)

    def ask(questions: Sequence[str]) -> list[list[str]]:
        seeds = [work.seed_of(label, "answers", index) for index in range(len(questions))]
        drawn = sampler.sample([prompts.solver(question) for question in questions], params, seeds)
        return [[completion.text for completion in completions] for completions in drawn]

    return ask


def _first_questions(work: Work, challenger: ArtifactRef, prompts: Prompts) -> list[str]:
    """Fresh completions of the untrained Challenger."""
    config = work.config.challenger
    seeds = [work.seed_of("probe", index) for index in range(config.probe_questions)]
    with open_sampler(work.config.sampler, work.model(challenger)) as sampler:
        asked = [prompts.challenger(seed) for seed in seeds]
        drawn = sampler.sample(asked, SamplingParams.of(config), seeds)
    return [completions[0].text for completions in drawn]


def _probe(work: Work, completions: Sequence[str], score: Score, columns: Sequence[Column]) -> None:
    """Record the reward before training."""
    scored = score(completions, "probe")
    domain, rows = domains.get(work.config.domain), []
    for index, question in enumerate(scored):
        truth, parts = domain.truth_of(question.question), question.reward_columns()
        del parts["answer"]
        known = {"in_range": truth.in_range, "terms": truth.terms}
        rows.append({"question_id": index, **parts, "reward": question.reward, **known})
    work.add_rows("probe", rows, columns)
    work.figures["probe_uncertainty_mean"] = round(
        sum(q.terms["uncertainty"] for q in scored) / len(scored), 6
    )
    work.figures["probe_reward_mean"] = round(sum(q.reward for q in scored) / len(scored), 6)
    work.log.info(f"train_challenger: reward before training {work.figures['probe_reward_mean']:.3f}")
