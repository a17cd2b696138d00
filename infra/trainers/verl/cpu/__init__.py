"""What verl 0.9.1 and vLLM lack to run without an accelerator; for tests and CI, not for work."""
