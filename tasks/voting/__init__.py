"""Reading answers out of completions, telling which are equal, and voting on them."""
