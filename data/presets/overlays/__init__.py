"""Overlays: a few settings laid over a preset, `--preset qwen3-4b+official-code`."""
