"""The schemas of a run's tables where its reward is the paper's."""

from data.config import DEFAULT_REWARD
from data.schemas import SCHEMAS, TERM_TABLES, schema_of
from tasks.rewards.challenger import ChallengerReward

RUN_SCHEMAS = SCHEMAS | {
    name: schema_of(name, ChallengerReward(DEFAULT_REWARD).columns) for name in TERM_TABLES
}
