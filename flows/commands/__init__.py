"""The commands of `rzero`, one a file."""
