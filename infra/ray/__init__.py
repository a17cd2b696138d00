"""Ray clusters: which one is joined, and what samplers and trainers that work on one need."""
