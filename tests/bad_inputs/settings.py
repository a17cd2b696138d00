"""Presets and settings that must be refused, and for every field of the configuration a wrong value."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from data.backends import variants
from data.config import RunConfig
from data.section import Section
from tests.bad_inputs.case import IN_STORE, Case, case_of

DEEP = "[" * 100_000


def of_settings() -> Iterator[Case]:
    for preset in (
        "nope",
        "",
        "tiny+",
        "+tiny",
        "tiny+nope",
        "../tiny",
        "tiny.yaml",
        "/etc/passwd",
        "t\x00",
        "x" * 999,
    ):
        yield case_of("run --run new", "--preset", preset, *IN_STORE)
    for setting in (
        *(
            "solver",
            "=",
            "=1",
            "solver=",
            "solver.lr=1",
            "solver.steps.x=1",
            "nope=1",
            "run=x",
            "preset=tiny",
        ),
        *(
            "solver=[1]",
            "solver=7",
            "sampler=7",
            "sampler.backend=nope",
            "sampler.backend=[1]",
            "trainer.backend={}",
        ),
        *("trackers=tensorboard", "trackers=[nope]", "trackers=[{}]", "trackers=[1]", "trackers=[[]]"),
        *(
            "sampler.gpus=[1",
            "memory={a: &a [1], b: *a}",
            f"memory={DEEP}",
            "memory={" * 50,
            "x" * 9000 + "=1",
        ),
        *(
            "challenger.reward={nope: {}}",
            "challenger.reward={uncertainty: {weight: x}}",
            "seed=\x00",
            "seed=é",
        ),
        *("challenger.reward={uncertainty: 7}", "evaluation.benchmarks=[chess]", "evaluation.benchmarks=[1]"),
        *("evaluation.benchmarks=[arithmetic, arithmetic]", "timeout_seconds.nobody=5", "domain=nope"),
        *("evaluation.judge={url: 'http://u:SECRET@h/v1', model: m}", "evaluation.judge={url: x, model: m}"),
        *("evaluation.judge={url: 'http://h/v1?key=SECRET', model: m}", "evaluation.judge={model: m}"),
        *(
            "evaluation.judge={url: 'file:///etc/passwd', model: m}",
            "base_model.name=/nowhere",
            "base_model.name=",
        ),
        *("base_model.name=../nowhere", "base_model.name=a\x00b", "base_model.name=package:no-such-package"),
        *(
            "base_model.name=package:",
            "base_model.name=package:numpy",
            "base_model.name={file}",
            "base_model.name=a b",
        ),
        *(
            "base_model.name=~",
            "base_model.name={store}",
            "memory=!!python/object:os.system {}",
            "memory=[2020-99-99]",
        ),
        "." * 50 + "=1",
    ):
        yield Case(("run", "--run", "new", "--set", setting, *IN_STORE))
    for url in (
        "http://u:SECRET@h/v1",
        "ftp://h",
        "h:80",
        "http://h\n/v1",
        "http://h/v1?key=SECRET",
        "http://[::1",
    ):
        settings = ("--set", "sampler.backend=server", "--set", f"sampler.urls=[{json.dumps(url)}]")
        yield Case(("run", "--run", "new", *settings, *IN_STORE))
    for backends, path, value in _wrong_settings(RunConfig, ""):
        chosen = [item for backend in backends for item in ("--set", backend)]
        yield Case(("run", "--run", "new", *chosen, "--set", f"{path}={value}", *IN_STORE))


def _wrong_settings(section: type[Section], path: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """A value of the wrong kind, and one out of range, for every field: backends, setting, value."""
    for name, field in section.model_fields.items():
        dotted = f"{path}{name}"
        if dotted in ("run", "preset", "store") or name == "backend":
            continue
        if backends := variants(field.annotation):
            for backend, kind in backends.items():
                for chosen, inner, value in _wrong_settings(kind, f"{dotted}."):
                    yield (*chosen, f"{dotted}.backend={backend}"), inner, value
            continue
        kinds = [field.annotation]
        if get_origin(field.annotation) in (Union, types.UnionType):
            kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
        inner_section = next(
            (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None
        )
        if inner_section is not None:
            if name != "judge":
                yield from _wrong_settings(inner_section, f"{dotted}.")
            continue
        yield (), dotted, _of_another_kind(kinds[0])
        if bounded := [limit for limit in field.metadata if hasattr(limit, "ge") or hasattr(limit, "gt")]:
            lowest = getattr(bounded[0], "ge", getattr(bounded[0], "gt", 0))
            yield (), dotted, str(lowest - 1)


def _of_another_kind(kind: Any) -> str:
    if kind is bool:
        return "perhaps"
    if kind is str or get_origin(kind) is Literal:
        return "[1]"
    if get_origin(kind) is tuple:
        return "7"
    return "many" if kind in (int, float) else "word"
