"""What a deployment needs beside the code: pools, limits, automations, and a local set-up of them all."""

POOL = "rzero"
"""The work pool of every deployment."""
