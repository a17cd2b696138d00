"""Rewards of the Challenger and of the Solver: pure functions of whole batches."""
