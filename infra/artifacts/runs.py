"""A run's frozen configuration in the store: `<store>/runs/<run>/run.json`."""

from __future__ import annotations

import json

from data.config import RUN_NAME, RunConfig, check_run_name
from data.earlier import upgraded
from data.foreign import read_json
from data.resolve import ConfigError, first_difference, validate
from data.section import Section
from infra.store.store import Store, StoreError

SAVED_ANEW = ("timeout_seconds", "trackers", "gates")
"""How long it may take, who watches and where a run ends change no artifact that is there."""
MAY_DIFFER = ("store", "iterations", *SAVED_ANEW)
"""Nor does where the store is mounted, or how far to go."""


def may_differ(config: RunConfig) -> tuple[str, ...]:
    """Dotted settings that may differ when a run is resumed: they say where it is computed, not what."""
    sections = ((name, getattr(config, name)) for name in type(config).model_fields)
    placed = [
        f"{name}.{setting}"
        for name, section in sections
        if isinstance(section, Section)
        for setting in sorted(section.outside_key())
    ]
    return (*MAY_DIFFER, *placed)


def run_path(run: str) -> str:
    """Path of a run's configuration within the store; ConfigError where `run` is no name of a run."""
    try:
        return f"runs/{check_run_name(run)}/run.json"
    except ValueError as error:
        raise ConfigError(f"run: {error}") from None


def load_run(store: Store, run: str) -> RunConfig | None:
    """The run's configuration; None where there is no such run.

    StoreError where the file cannot be read, or is of another run: a copy must not speak for its original.
    """
    path = run_path(run)
    if not store.exists(path):
        return None
    try:
        config = validate(upgraded(read_json(store.read(path))))
    except ValueError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        raise StoreError(
            f"{store.uri_of(path)} cannot be read by this version of rzero: {first}{more}"
        ) from None
    if config.run != run:
        raise StoreError(
            f"{store.uri_of(path)} is of the run {config.run!r}: a run has the name of its folder; rename "
            "the folder, or write the folder's name into the file"
        )
    return config


def known_run(store: Store, run: str) -> RunConfig:
    """The run's configuration; ConfigError, naming the runs that there are, where there is no such run."""
    config = load_run(store, run)
    if config is None:
        there = ", ".join(run_names(store)) or "none yet"
        raise ConfigError(f"there is no run {run!r} in {store.uri}; runs there: {there}")
    return config


def freeze_run(store: Store, config: RunConfig) -> None:
    """Save the configuration of a new run; ConfigError where the run exists with another one.

    Time limits, trackers and gates that differ are saved in place of the earlier ones, and so is a larger
    number of iterations.
    """
    existing = load_run(store, config.run)
    if existing is None:
        if store.create(run_path(config.run), _content(config)):
            return
        existing = known_run(store, config.run)
    if difference := first_difference(existing, config, may_differ(config)):
        raise ConfigError(
            f"run {config.run!r} exists in {store.uri} with another configuration: {difference}; "
            "choose another name for the run, or leave the setting as it was"
        )
    anew = {name: getattr(config, name) for name in SAVED_ANEW}
    anew["iterations"] = max(existing.iterations, config.iterations)
    if existing != (changed := existing.model_copy(update=anew)):
        store.put(run_path(config.run), _content(changed))


def _content(config: RunConfig) -> bytes:
    return json.dumps(config.model_dump(mode="json"), indent=1).encode()


def run_names(store: Store) -> list[str]:
    """Names of the runs in the store, sorted."""
    names = [name for name in store.names("runs") if RUN_NAME.fullmatch(name) and ".." not in name]
    return [name for name in names if store.exists(run_path(name))]
