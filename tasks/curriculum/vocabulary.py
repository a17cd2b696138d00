"""What the Challenger goes without: vocabulary dropout (arXiv 2604.03472)."""

from __future__ import annotations

from data import domains
from infra.samplers.protocol import VocabularyDropout
from tasks.stage.work import Work


def dropout_of(work: Work, *labels: str | int) -> VocabularyDropout | None:
    """Which tokens are out of reach within a stage, others for other labels; None where all are there."""
    settings = work.config.challenger.vocabulary_dropout
    if settings is None:
        return None
    spared = (*domains.get(work.config.domain).format, *settings.spared)
    return VocabularyDropout(settings.share, spared, work.seed_of("vocabulary", *labels))
