"""Stage 5: train the Solver with GRPO on the kept questions and their pseudo-labels (section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

from data.config import DEFAULT_REWARD
from data.prompts import Prompts
from infra.artifacts.artifact import ArtifactRef
from infra.scratch import ScratchFolder
from infra.trainers import open_trainer
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from tasks.curriculum.certainty import emphasis_of
from tasks.rewards.challenger import ChallengerReward
from tasks.rewards.solver import solver_rewards
from tasks.stage.errors import StageError
from tasks.stage.task import stage
from tasks.stage.training import add_training, step_reporter
from tasks.stage.work import Work
from tasks.voting.domains import answer_reader, grader_of


@stage("train_solver")
def train_solver(work: Work, solver: ArtifactRef, curriculum: ArtifactRef) -> None:
    """Train the Solver: reward 1 where its answer equals the pseudo-label, else 0."""
    kept = work.table(curriculum, "curriculum")
    if kept.is_empty():
        raise StageError(
            f"iteration {work.iteration} kept no question, so there is nothing to train the Solver on; "
            f"see the drop_reason of each candidate in {curriculum.uri}"
        )
    config = work.config.solver.on(len(kept))
    labels = kept["pseudo_label"].to_list()
    prompts = Prompts(work.config, work.model(solver))
    read = answer_reader(work.config.domain)
    with grader_of(work.config.domain) as grader, ScratchFolder("solver") as folder:

        def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
            answers = [read(rollout.completion.text) for rollout in rollouts]
            wanted = [labels[rollout.prompt_index] for rollout in rollouts]
            rewards = solver_rewards([answer for answer, _ in answers], wanted, grader)
            return [
                ScoredRollout(value, {"answer": answer, "reason": reason, "pseudo_label": label})
                for value, (answer, reason), label in zip(rewards, answers, wanted, strict=True)
            ]

        result = open_trainer(work.config.trainer).train(
            TrainingJob(
                role="solver",
                model_dir=work.model(solver),
                prompts=[prompts.solver(question) for question in kept["question"]],
                config=config,
                seed=work.seed,
                output_dir=folder,
                # The Challenger's built-in columns too: a glob over `train_*` reads both roles as one table.
                reward_columns=ChallengerReward(DEFAULT_REWARD).columns,
                emphasis=emphasis_of(config, kept["p_hat"].to_list()),
            ),
            reward,
            work.checkpoints(),
            step_reporter(work, config.steps),
        )
        add_training(work, result, "solver")
        work.figures["grader_timeouts"] = grader.timeouts
