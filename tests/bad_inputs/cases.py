"""The table of bad inputs: each is a command line, with what it needs said beside it."""

from __future__ import annotations

import itertools
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from data.backends import variants
from data.config import RunConfig
from data.section import Section
from tests.support.broken_models import BROKEN


class Case(NamedTuple):
    """A command line that must be refused.

    `{store}` is a store with the finished run `made`, `{file}` a file, `{folder}` one that nobody may
    write to, `{model}` a model broken as `model` says. `damage` is done to a copy of the store: a file by
    path, with what it then holds. `environment` is set for the command.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = types.MappingProxyType({})
    damage: tuple[str, bytes] | None = None
    model: str | None = None


def _case(line: str, *more: str, **others: Any) -> Case:
    return Case((*line.split(), *more), **others)


DEEP = "[" * 100_000
IN_STORE = ("--store", "{store}")

NAMES = (
    *("..", ".", "a/b", "a/../made", "../made", "/made", "made/", "-", ".made", "_made", "mäde", "made\n"),
    *("made\x00", "ma de", "made\x1b[2J", "x" * 65, "x" * 5000, "", " ", "made\u202e", "..made..", "C:made"),
)
URIS = (
    *(
        "ftp://host/x",
        "zip://a.zip",
        "http://h/x",
        "https://h/x",
        "simplecache::s3://b/x",
        "zip://a::file://b",
    ),
    *(
        "memory://x::file:///tmp",
        "file://host/x",
        "file:x",
        "s3:b/x",
        "gs://b",
        "s3://",
        "s3:///x",
        "s3://a b/x",
    ),
    *("s3://KEY:ab/cd@bucket", "s3://KEY:SECRET@bucket", "s3://KEY%3AS%40bucket", "s3%3A//K:S@b", "//K:S@b"),
    *("http://u:p@h/x", "memory://u:p@x", "a\x00b", "a\x1b[2Jb", "a\nb", "/", "file:///", "://x", "data:,x"),
    *(
        "s3://" + "b" * 300,
        "\u202estore",
        "file://localhost",
        "hf://datasets/x",
        "git://x",
        "dir::memory://x",
    ),
)
QUERIES = (
    *("SELEC", "SELECT", "SELECT nope FROM self", "SELECT * FROM other", "SELECT * FROM '/etc/passwd'", ";"),
    *(
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM READ_PARQUET ('/etc/passwd')",
        "DROP TABLE self",
    ),
    *("SELECT * FROM \"read_csv\"('/etc/passwd')", "SELECT * FROM `read_ipc`('/etc/passwd')", "SHOW TABLES"),
    *(
        "SELECT * FROM read_csv/**/('/etc/passwd')",
        "SELECT * FROM self; SELECT 1",
        "COPY self TO 'x'",
        "{" * 9,
    ),
    *("CREATE TABLE t AS SELECT * FROM read_csv('/etc/passwd')", "EXPLAIN SELECT 1", "SELECT \x00 FROM self"),
    *(
        "SELECT " + "(" * 9000,
        "SELECT '\ud800'",
        "x" * 30_000,
        "SELECT * FROM self WHERE question LIKE 3",
        "'",
    ),
)


def _of_names() -> Iterator[Case]:
    for name in NAMES:
        yield Case(("run", "--run", name, *IN_STORE))
    for name, command in zip(
        NAMES, itertools.cycle(("status", "results", "inspect", "report", "gc")), strict=False
    ):
        if name:
            yield Case((command, *IN_STORE, "--", name))
    for line in ("lineage nobody --iteration 1 --stage evaluate", "export nobody --iteration 1 --to there"):
        yield _case(line, *IN_STORE)
    for command in ("status", "results", "inspect", "report", "gc"):
        yield _case(f"{command} nobody", *IN_STORE)
    yield _case("experiment a/b", *IN_STORE)
    yield _case("experiment", "x" * 70, *IN_STORE)


def _of_uris() -> Iterator[Case]:
    for uri, line in zip(
        URIS, itertools.cycle(("status made", "run --run new", "gc", "report made")), strict=False
    ):
        yield _case(line, "--store", uri)
    for line in ("run --run new", "status made", "export made --iteration 1 --to there"):
        yield _case(line, "--store", "{file}")
        yield _case(line, "--store", "{file}/store")
        yield _case(line, "--store", "x" * 300)
    yield _case("run --run new", "--store", "{folder}/store")
    yield _case("status made", environment={"RZERO_STORE": "s3://KEY:SECRET@bucket"})


def _of_commands() -> Iterator[Case]:
    for line in (
        *(
            "nope",
            "--nope",
            "run",
            "run --run",
            "run --run new --nope",
            "results",
            "status made extra",
            "inspect",
        ),
        *(
            "export made --to x",
            "export made --iteration 1",
            "export made --iteration x --to there",
            "lineage made",
        ),
        *("export made --iteration 1 --model teacher --to there", "gc made other", "report", "doctor extra"),
        *("export made --iteration -1 --to there", "export made --iteration 99 --to there", "experiment"),
        *("run --run new --iterations 0", "run --run new --iterations -3", "run --run new --iterations 1.5"),
        *(
            "run --run new --iterations 99999999999999999999999x",
            "run --run made --set seed=5",
            "results --json",
        ),
        *("run --run made --preset qwen3-4b", "run --run made --set solver.steps=7", "results --store"),
        *("inspect made --iteration 9 --stage scored", "inspect made --iteration -1 --stage scored"),
        *(
            "inspect made --iteration x",
            "inspect made --stage scored",
            "inspect made --iteration 1 --stage dreams",
        ),
        *("inspect made --iteration 1 --stage scored --table x", "inspect made --iteration 0 --stage scored"),
        *(
            "inspect made --iteration 1 --stage scored --limit 0",
            "inspect made --iteration 1 --stage x\x1b[2J",
        ),
        *("lineage made --iteration 1 --stage x", "lineage made --iteration 7 --stage evaluate"),
        *("lineage made --iteration -1 --stage evaluate", "lineage made --iteration 0 --stage train_solver"),
        *("experiment e --experiment nope", "experiment e --variant nope", "experiment e --seed -1"),
        *("experiment e --seed x", "experiment e --preset nope", "experiment e --table-only"),
        *("experiment e --set solver.steps=x", "experiment e --iterations 0", "report made nobody"),
        *("report made --to {file}/x.html", "report made --to {folder}/x.html", "report made --to {store}"),
        *("export made --iteration 1 --to {file}", "export made --iteration 1 --to {file}/there"),
        *("export made --iteration 1 --to {folder}/there", "export made --iteration 1 --to {store}"),
    ):
        yield _case(
            line, *(() if line in ("nope", "--nope", "doctor extra", "results --store") else IN_STORE)
        )
    for target in ("a\x00b", "x" * 300, "y/" * 3000, "a\x1b[2Jb", ""):
        yield _case("export made --iteration 1", "--to", target, *IN_STORE)
        yield _case("report made", "--to", target, *IN_STORE)
    for numbers in (
        "last",
        "-1",
        "3-1",
        "1-",
        "1,,2",
        "1;2",
        "0-99999999999",
        "9" * 5000,
        "٣",
        "",
        "1.5",
    ):
        yield _case("gc made", "--keep-iterations", numbers, *IN_STORE)
    for count in ("-1", "x", "1.5", ""):
        yield _case("gc made", "--keep-checkpoints", count, *IN_STORE)
    for query in QUERIES:
        yield _case("inspect made --iteration 1 --stage scored --sql", query, *IN_STORE)


def _of_settings() -> Iterator[Case]:
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
        yield _case("run --run new", "--preset", preset, *IN_STORE)
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


RUN_JSON = (
    *(b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe\x00", b"\x80\x04\x95", b"{}", b"[" * 100_000),
    *(b'{"a":' * 100_000, b'{"run": ' + b"9" * 5000 + b"}", b"\x00" * 100, b'{"run": "made"}', b"{'run': 1}"),
    *(json.dumps({"run": "made", "sampler": value}).encode() for value in ([], 7, {"backend": []}, None)),
    *(
        json.dumps({"run": "made", "challenger": value}).encode()
        for value in ([], {"reward": []}, {"reward": 7})
    ),
    *(
        json.dumps({"run": "made", name: [1]}).encode()
        for name in ("memory", "base_model", "timeout_seconds")
    ),
)
MANIFESTS = (
    *(b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"format_version":' * 100_000),
    *(b'{"format_version": 99}', b'{"format_version": []}', b'{"files": 7}', b"\x00" * 50),
)


def _of_damage() -> Iterator[Case]:
    lines = (
        "status made",
        "run --run made",
        "gc made --delete",
        "report made",
        "inspect made",
        "results made",
    )
    for content, line in zip(RUN_JSON, itertools.cycle(lines), strict=False):
        yield _case(line, *IN_STORE, damage=("runs/made/run.json", content))
    for content in MANIFESTS:
        path = "runs/made/iteration=1/score_and_filter/*/_manifest.json"
        yield _case("inspect made --iteration 1 --stage scored", *IN_STORE, damage=(path, content))
    for content in (b"", b"PAR1", b"\x00" * 999):
        path = "runs/made/iteration=1/score_and_filter/*/part-00000.parquet"
        yield _case("inspect made --iteration 1 --stage scored", *IN_STORE, damage=(path, content))


def _of_models() -> Iterator[Case]:
    for how in BROKEN:
        yield _case("run --run new --set base_model.name={model}", *IN_STORE, model=how)


def _of_environment() -> Iterator[Case]:
    for name, value in (
        *(
            ("RZERO_JUDGE_API_KEY", "a\nb"),
            ("RZERO_SERVER_KEY", "schlüssel"),
            ("AWS_SECRET_ACCESS_KEY", "a\x1bb"),
        ),
        *(("PREFECT_API_AUTH_STRING", "a:b\r\nX: y"), ("HF_TOKEN", "\u202e"), ("AWS_SESSION_TOKEN", "a\tb")),
    ):
        yield _case("status made", *IN_STORE, environment={name: value})
    for url in ("http://KEY:SECRET@h", "http://K%40h", "h:9", "http://h/?key=SECRET"):
        yield _case("status made --store s3://bucket/x", environment={"AWS_ENDPOINT_URL": url})
    for uri in (
        "s3://KEY:SECRET@bucket",
        "ftp://u:SECRET@host",
        "http://u:SECRET@host",
        "/nowhere",
        "a\x1bb",
    ):
        yield _case(
            "run --run new --set evaluation.benchmarks=[amc23]",
            *IN_STORE,
            environment={"RZERO_BENCHMARKS": uri},
        )


CASES = [
    *_of_names(),
    *_of_uris(),
    *_of_commands(),
    *_of_settings(),
    *_of_damage(),
    *_of_models(),
    *_of_environment(),
]


def name_of(case: Case) -> str:
    """The case as the name of a test."""
    shown = (
        " ".join(case.arguments)
        + (f" {case.damage[1][:12]!r}" if case.damage else "")
        + f" {case.model or ''}"
    )
    return ascii(shown[:90] + "".join(f" {name}" for name in case.environment))


def path_in(store: Path, pattern: str) -> Path:
    """The one file of a store that a pattern names."""
    (file,) = store.glob(pattern)
    return file
