"""Artifacts as Prefect's assets: events from which Prefect Cloud draws lineage, and which any server keeps.

Finished artifacts alone are assets. Their keys are addresses: `s3://…` or `file:///…`, the same in each
attempt and each resumed run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prefect.context import AssetContext
from prefect.types.names import MAX_ASSET_KEY_LENGTH, RESTRICTED_ASSET_CHARACTERS

from infra.artifacts.artifact import ArtifactRef
from tasks.stage.work import Work

MATERIALIZED_BY = "rzero"
_NOT_IN_KEYS = re.compile("[" + re.escape("".join(RESTRICTED_ASSET_CHARACTERS)) + "]")


def asset_key(uri: str) -> str | None:
    """The key of the artifact with this address; None where it is too long for one.

    What Prefect does not allow in a key, a blank say, is an underscore.
    """
    key = _NOT_IN_KEYS.sub("_", uri if "://" in uri else f"file://{uri}")
    return key if len(key) <= MAX_ASSET_KEY_LENGTH else None


def asset_keys(uris: Iterable[str]) -> list[str]:
    """The keys of those that can have one."""
    return [key for uri in uris if (key := asset_key(uri)) is not None]


def describe_asset(work: Work, ref: ArtifactRef) -> None:
    """Let the event that tells of an artifact say what it is, beside where."""
    if (context := AssetContext.get()) is None:
        return
    single = {name: value for name, value in work.figures.items() if not isinstance(value, list)}
    what = {"uri": ref.uri, "sha256": ref.digest, "kind": ref.kind, "bytes": ref.bytes, "figures": single}
    for asset in context.downstream_assets:
        context.add_asset_metadata(asset.key, what if ref.rows is None else {**what, "rows": ref.rows})
