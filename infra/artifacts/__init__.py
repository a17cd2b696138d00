"""Artifacts in the store: manifests, models, checkpoints, lineage."""
