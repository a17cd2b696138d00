"""The commands of `rzero`, one file each, which import what is heavy only when they run.

`options` holds what several commands share, `summary` reads a run from its store, `show` prints tables.
"""
