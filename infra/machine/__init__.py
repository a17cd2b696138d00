"""The machine: GPUs, memory, what works here."""
