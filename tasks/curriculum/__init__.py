"""From scored candidates to what the Solver trains on."""
