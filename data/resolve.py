"""From a preset and overrides to a RunConfig, with one clear line for each thing that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from data import domains
from data.backends import WHERE_IT_WORKS, variants
from data.config import RunConfig
from data.domain import DomainError
from data.foreign import one_line

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """The configuration is wrong; the message has one line for each fault."""


def yaml_names(folder: str) -> list[str]:
    """Names of the YAML files in a package of ours, sorted."""
    files = (item.name for item in resources.files(folder).iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def read_yaml(folder: str, noun: str, name: str) -> dict[str, Any]:
    """The mapping in a YAML file of ours; ConfigError where there is none of this name."""
    if name not in yaml_names(folder):
        raise ConfigError(f"there is no {noun} {_shown(name)}; there are: {', '.join(yaml_names(folder))}")
    values: dict[str, Any] = yaml.safe_load(resources.files(folder).joinpath(f"{name}.yaml").read_bytes())
    return values


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
    _fit_backends(values, settings)
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


def overridden(config: RunConfig, settings: Mapping[str, Any], outright: Mapping[str, Any]) -> RunConfig:
    """The configuration with these settings, by dotted key, and what is named outright; ConfigError else."""
    values = config.model_dump(mode="json")
    for key, value in settings.items():
        _set(values, key, value)
    return validate({**values, **outright})


def validate(values: Mapping[str, Any]) -> RunConfig:
    """The RunConfig with these values; ConfigError with one line a fault."""
    return validated(RunConfig, values)


def validated(model: type[Model], values: Any, path: str = "") -> Model:
    """The section with these values, which stands at `path`; ConfigError with one line a fault."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [_explain(fault, model, path) for fault in error.errors()]
        raise ConfigError("\n".join(faults)) from None


def first_difference(old: RunConfig, new: RunConfig, ignore: Sequence[str] = ()) -> str | None:
    """'field: old value, new value' for the first field in which the two differ; None where they agree."""
    return _difference(old.model_dump(mode="json"), new.model_dump(mode="json"), "", ignore)


def _read_preset(preset: str) -> dict[str, Any]:
    """The values of "preset" or "preset+overlay"."""
    name, *overlays = preset.split("+")
    values = read_yaml("data.presets", "preset", name)
    for overlay in overlays:
        _lay_over(values, read_yaml("data.presets.overlays", "overlay", overlay))
    return values


def _lay_over(values: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _lay_over(values[key], value)
        else:
            values[key] = value


def _fit_backends(values: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Drop what a preset sets for a backend that an overlay or an override has exchanged for another."""
    for name, field in RunConfig.model_fields.items():
        classes = variants(field.annotation)
        if classes and isinstance(preset := values.get(name), dict):
            backend = settings.get(f"{name}.backend", preset.get("backend"))
            if isinstance(backend, str) and backend in classes:
                known = classes[backend].model_fields
                values[name] = {key: value for key, value in preset.items() if key in known}


def split_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """ "dotted.key=value" strings as a mapping; of two with the same key the later one counts."""
    settings = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"override {_shown(override)}: write it as key=value, for example solver.learning_rate=2e-6"
            )
        settings[key.strip()] = text.strip()
    return settings


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, in which a short text stands for a short value."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def _parse(text: str) -> Any:
    """Lists, mappings and null are YAML; every other text is left to pydantic (YAML 1.1 misreads 2e-6)."""
    if text.startswith(("[", "{")) or text in ("null", "~"):
        try:
            return yaml.load(text, _PlainLoader)
        except (yaml.YAMLError, RecursionError, ValueError):
            raise ConfigError(
                f"override value {_shown(text)} is not valid YAML without aliases; within brackets, put "
                "quotes around a text that holds one of ,?:[]{}"
            ) from None
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


def _explain(fault: Any, model: type[BaseModel], path: str) -> str:
    where, section, backends = _place(fault["loc"], model, path)
    where = one_line(where, 60)
    kind, given = fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        return f"{where}: {_unknown(where, str(fault['loc'][-1]), section, backends)}"
    if kind == "missing":
        return f"{where}: must be set"
    if kind == "union_tag_not_found":
        return f"{where}.backend: must be set; there are: {', '.join(backends)}"
    if kind == "union_tag_invalid":
        tag = fault["ctx"]["tag"]
        return f"{where}.backend: there is no backend {tag!r}{_suggestion(tag, backends)}"
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{where}: {message}"
    shown = "" if isinstance(given, dict | list) else f", not {_shown(given)}"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _shown(value: Any) -> str:
    """A value as a message quotes it: short, and without what stands before an @, as credentials do."""
    text = repr(value)
    return "a value with an '@'" if "@" in text else one_line(text, 80)


_Model = type[BaseModel]


def _place(
    location: Sequence[str | int], inner: _Model | None, path: str
) -> tuple[str, _Model | None, Mapping[str, _Model]]:
    """Of pydantic's location in a section at `path`: the dotted setting, its section, that one's variants.

    Pydantic names the backend after its section; people do not.
    """
    dotted = [path] if path else []
    section: _Model | None = None
    backends: Mapping[str, _Model] = {}
    for part in map(str, location):
        if inner is None and part in backends:
            inner = backends[part]
            continue
        dotted.append(part)
        section = inner
        field = section.model_fields.get(part) if section else None
        inner = None
        if field is not None:
            backends = variants(field.annotation)
            inner = None if backends else next(iter(_sections(field.annotation)), None)
    return ".".join(dotted), section, backends


def _unknown(where: str, name: str, section: _Model | None, backends: Mapping[str, _Model]) -> str:
    if backends and name in WHERE_IT_WORKS:
        return f"no run may say it: set ${WHERE_IT_WORKS[name]} in the environment of the process that works"
    known_by = [repr(backend) for backend, kind in backends.items() if name in kind.model_fields]
    if section and known_by:
        own = section.model_fields["backend"].default
        return f"the backend {own!r} has no such setting; it belongs to {' and '.join(known_by)}"
    within = where[: where.rfind(".") + 1]
    fields = section.model_fields if section else {}
    # Whoever leaves out the section has a name in mind that one or two of them have.
    inner = [
        f"{part}.{name}"
        for part, field in fields.items()
        if not within and any(name in one.model_fields for one in _sections(field.annotation))
    ]
    return f"there is no such setting{_suggestion(name, fields, within, inner)}"


def _sections(annotation: Any) -> list[_Model]:
    """The sections that a field may hold."""
    kinds = (annotation, *get_args(annotation))
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _suggestion(name: str, known: Collection[str], within: str = "", others: Sequence[str] = ()) -> str:
    close = [within + one for one in difflib.get_close_matches(name[:80], known, n=1)]
    if meant := others or close:
        return f"; did you mean {' or '.join(map(repr, meant))}?"
    return f"; there are: {one_line(', '.join(known), 140)}" if known else ""


def _difference(old: Any, new: Any, path: str, ignore: Sequence[str]) -> str | None:
    if path in ignore or old == new:
        return None
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{path}: was {one_line(repr(old))}, now {one_line(repr(new))}"
    keys = [*old, *(key for key in new if key not in old)]
    found = (_difference(old.get(key), new.get(key), f"{path}.{key}".lstrip("."), ignore) for key in keys)
    return next(filter(None, found), None)
