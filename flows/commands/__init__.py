"""The commands of `rzero`, one a file; each imports what is heavy when it runs.

`options` holds what several commands share, `summary` reads a run from its store, `show` prints tables.
"""
