"""The story: what happens in which order, and what the user calls."""
