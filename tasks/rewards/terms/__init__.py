"""The terms of the Challenger's reward. Each file here declares one; its name is the file's.

Another package adds its own with an entry point of the group `rzero.reward_terms` that names a `Term`.
"""

from data.registry import Registry
from data.resolve import ConfigError
from tasks.rewards.term import Term


def _error(message: str) -> ConfigError:
    return ConfigError(f"challenger.reward: {message}")


_REGISTRY = Registry("tasks.rewards.terms", Term, _error, "rzero.reward_terms")
names = _REGISTRY.names
get = _REGISTRY.get

ALWAYS = ("uncertainty", "answered", "repetition", "memory")
"""Terms whose columns are in every table, listed or not: key figures and the report read them."""
