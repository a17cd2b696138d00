"""What can go wrong in a stage."""


class StageError(Exception):
    """The stage cannot go on and trying again will not help; the message says what to change."""


class GateStopped(StageError):
    """A gate stops the run; the message says which, and how to go on."""
