"""From a preset and overrides to a RunConfig, with one clear line for each thing that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from data import domains
from data.config import RunConfig
from data.domain import DomainError


class ConfigError(ValueError):
    """The configuration is wrong; the message has one line for each fault."""


def preset_names() -> list[str]:
    """Names of the presets that come with rzero, sorted."""
    folder = resources.files("data.presets")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def resolve(
    run: str,
    preset: str = "tiny",
    overrides: Sequence[str] | Mapping[str, Any] = (),
    store: str | None = None,
    iterations: int | None = None,
) -> RunConfig:
    """The resolved configuration: the preset, then `overrides`, then what is named outright.

    `overrides` are "dotted.key=value" strings or a mapping of dotted keys. Raises ConfigError.
    """
    values = _read_preset(preset)
    settings = overrides if isinstance(overrides, Mapping) else split_overrides(overrides)
    for key, value in settings.items():
        if key.split(".")[0] in ("run", "preset"):
            raise ConfigError(f"{key}: is named outright, it cannot be overridden")
        _set(values, key, value)
    values |= {"run": run, "preset": preset}
    if store is not None:
        values["store"] = store
    if iterations is not None:
        values["iterations"] = iterations
    config = validate(values)
    try:
        domains.get(config.domain)
    except DomainError as error:
        raise ConfigError(f"domain: {error}") from None
    return config


def validate(values: Mapping[str, Any]) -> RunConfig:
    """The RunConfig with these values; ConfigError with one line a fault."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(fault) for fault in error.errors())) from None


def first_difference(old: RunConfig, new: RunConfig, ignore: Sequence[str] = ()) -> str | None:
    """'field: old value, new value' for the first field in which the two differ; None where they agree."""
    return _first_difference(old.model_dump(mode="json"), new.model_dump(mode="json"), "", frozenset(ignore))


def overlay_names() -> list[str]:
    """Names of the overlays that may be laid over a preset, sorted."""
    folder = resources.files("data.presets.overlays")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def _read_preset(preset: str) -> dict[str, Any]:
    """The values of "preset" or "preset+overlay"."""
    name, *overlays = preset.split("+")
    if name not in preset_names():
        raise ConfigError(f"preset: there is no preset {name!r}; there are: {', '.join(preset_names())}")
    values = _read_yaml("data.presets", name)
    for overlay in overlays:
        if overlay not in overlay_names():
            there = ", ".join(overlay_names())
            raise ConfigError(f"preset: there is no overlay {overlay!r}; there are: {there}")
        _lay_over(values, _read_yaml("data.presets.overlays", overlay))
    return values


def _read_yaml(folder: str, name: str) -> dict[str, Any]:
    text = resources.files(folder).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    if not isinstance(values, dict):
        raise ConfigError(f"preset: {name}.yaml is not a mapping")
    return values


def _lay_over(values: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _lay_over(values[key], value)
        else:
            values[key] = value


def split_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """ "dotted.key=value" strings as a mapping; of two with the same key the later one counts."""
    return dict(map(_split_override, overrides))


def _split_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"override {override!r}: write it as key=value, for example solver.learning_rate=2e-6"
        )
    return key.strip(), text.strip()


def _parse(text: str) -> Any:
    """Lists, mappings and null are YAML; every other text is left to pydantic (YAML 1.1 misreads 2e-6)."""
    if text.startswith(("[", "{")) or text in ("null", "~"):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"override value {text!r} is not valid YAML") from None
    return text


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    node = values
    for depth, part in enumerate(parents):
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{dotted}: {'.'.join(parents[: depth + 1])} is a value, it has no keys")
        node = child
    node[last] = _parse(value) if isinstance(value, str) else value


def _explain(fault: Any) -> str:
    location = ".".join(str(part) for part in fault["loc"])
    kind, given = fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        return f"{location}: there is no such setting{_suggestion(fault['loc'])}"
    if kind == "missing":
        return f"{location}: must be set"
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{location}: {message}"
    shown = "" if isinstance(given, dict | list) else f", not {given!r}"
    return f"{location}: {message[0].lower()}{message[1:]}{shown}"


def _suggestion(location: Sequence[str | int]) -> str:
    model: Any = RunConfig
    for part in location[:-1]:
        field = model.model_fields.get(part)
        annotation = getattr(field, "annotation", None)
        candidates = getattr(annotation, "__args__", (annotation,))
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if model is None:
            return ""
    close = difflib.get_close_matches(str(location[-1]), list(model.model_fields), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(model.model_fields)}"


def _first_difference(old: Any, new: Any, path: str, ignore: frozenset[str]) -> str | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            dotted = f"{path}.{key}" if path else key
            if dotted in ignore:
                continue
            found = _first_difference(old.get(key), new.get(key), dotted, ignore)
            if found:
                return found
        return None
    return None if old == new else f"{path}: was {old!r}, now {new!r}"
