"""What a run has made, from its folder alone."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.artifact import Manifest


def manifests_of(store: Path, run: str) -> dict[str, Manifest]:
    """A run's manifests by 'iteration=K/stage'."""
    found = {}
    for path in sorted(store.glob(f"runs/{run}/iteration=*/*/*/_manifest.json")):
        name = "/".join(path.parts[-4:-2])
        assert name not in found, f"two artifacts of {name}"
        found[name] = Manifest.model_validate_json(path.read_bytes())
    return found
