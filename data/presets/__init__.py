"""Presets: complete configurations in YAML, one file each."""
