"""Examples that people wrote, as a run begins: read once, and checked against what is read as a proposal."""

from __future__ import annotations

from data import domains
from data.config import RunConfig
from data.methods.examples import ExampleError, read_examples
from data.resolve import ConfigError
from tasks.voting.domains import proposal_reader


def with_examples(config: RunConfig) -> RunConfig:
    """The configuration with the examples of its file in it; ConfigError where they cannot be shown."""
    settings = config.challenger.examples
    if settings is None:
        return config
    domain, read = domains.get(config.domain), proposal_reader(config.domain)
    if isinstance(domain.challenger(config.base_model.prompt_style), str):
        raise ConfigError(
            f"challenger.examples: the prompt of the domain {config.domain!r} is a text without a place for "
            "them: leave challenger.examples at null"
        )
    if (settings.file is None) == (not settings.shown):
        raise ConfigError("challenger.examples: name a file, or list examples in `shown`, one of both")
    try:
        shown = read_examples(settings.file) if settings.file else settings.shown
    except ExampleError as error:
        raise ConfigError(f"challenger.examples.file: {error}") from None
    for number, one in enumerate(shown, 1):
        question, answer, reason = read(domain.proposal(one.question, one.answer))
        if reason is not None or (question, answer) != (one.question, one.answer):
            raise ConfigError(
                f"challenger.examples: example {number} would be read otherwise, if the Challenger wrote it: "
                f"{reason or 'its tags, braces or blanks'}"
            )
    if len(shown) < settings.count:
        raise ConfigError(f"challenger.examples.count: {settings.count} of {len(shown)} cannot be shown")
    examples = settings.model_copy(update={"shown": shown})
    challenger = config.challenger.model_copy(update={"examples": examples})
    return config.model_copy(update={"challenger": challenger})
