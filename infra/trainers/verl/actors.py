"""How many calls verl's actors answer at once; verl imports this first, by VERL_USE_EXTERNAL_MODULES.

Its one reward worker holds each rollout back until the batch is whole. Ray lets an async actor answer 1000
calls at once unless its maker says otherwise, which verl does not: a larger batch would never be whole.
"""

from __future__ import annotations

import ray.actor

ray.actor.DEFAULT_MAX_CONCURRENCY_ASYNC = 1_000_000
