"""What is seen of a run while it runs: its log's story, the terminal, and where it stands in the store."""
