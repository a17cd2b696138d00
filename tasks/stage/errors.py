"""What can go wrong in a stage."""


class StageError(Exception):
    """The stage cannot go on and trying again will not help; the message says what to change."""
