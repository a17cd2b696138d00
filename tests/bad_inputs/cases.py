"""The table of bad inputs: each is a command line, with what it needs said beside it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from tests.bad_inputs.case import IN_STORE, Case, case_of
from tests.bad_inputs.settings import of_settings
from tests.support.broken_models import BROKEN

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
    for line in (
        "lineage nobody --iteration 1 --stage evaluate",
        "export nobody --iteration 1 --to there",
        "push nobody --iteration 1 --to org/name",
    ):
        yield case_of(line, *IN_STORE)
    for command in ("status", "results", "inspect", "report", "gc"):
        yield case_of(f"{command} nobody", *IN_STORE)
    yield case_of("experiment a/b", *IN_STORE)
    yield case_of("experiment", "x" * 70, *IN_STORE)


def _of_uris() -> Iterator[Case]:
    for uri, line in zip(
        URIS, itertools.cycle(("status made", "run --run new", "gc", "report made")), strict=False
    ):
        yield case_of(line, "--store", uri)
    for line in ("run --run new", "status made", "export made --iteration 1 --to there"):
        yield case_of(line, "--store", "{file}")
        yield case_of(line, "--store", "{file}/store")
        yield case_of(line, "--store", "x" * 300)
    yield case_of("run --run new", "--store", "{folder}/store")
    yield case_of("status made", environment={"RZERO_STORE": "s3://KEY:SECRET@bucket"})


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
        *("export made --iteration 1 --curriculum --model solver --to there", "push"),
        *("push made --iteration 99 --to org/name", "push made --iteration 1", "push made --to org/name"),
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
        yield case_of(
            line, *(() if line in ("nope", "--nope", "doctor extra", "results --store") else IN_STORE)
        )
    for target in ("a\x00b", "x" * 300, "y/" * 3000, "a\x1b[2Jb", ""):
        yield case_of("export made --iteration 1", "--to", target, *IN_STORE)
        yield case_of("push made --iteration 1", "--to", target, *IN_STORE)
        yield case_of("report made", "--to", target, *IN_STORE)
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
        yield case_of("gc made", "--keep-iterations", numbers, *IN_STORE)
    for count in ("-1", "x", "1.5", ""):
        yield case_of("gc made", "--keep-checkpoints", count, *IN_STORE)
    for query in QUERIES:
        yield case_of("inspect made --iteration 1 --stage scored --sql", query, *IN_STORE)


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
        yield case_of(line, *IN_STORE, damage=("runs/made/run.json", content))
    for content in MANIFESTS:
        path = "runs/made/iteration=1/score_and_filter/*/_manifest.json"
        yield case_of("inspect made --iteration 1 --stage scored", *IN_STORE, damage=(path, content))
    for content in (b"", b"PAR1", b"\x00" * 999):
        path = "runs/made/iteration=1/score_and_filter/*/part-00000.parquet"
        yield case_of("inspect made --iteration 1 --stage scored", *IN_STORE, damage=(path, content))


def _of_models() -> Iterator[Case]:
    for how in BROKEN:
        yield case_of("run --run new --set base_model.name={model}", *IN_STORE, model=how)


def _of_environment() -> Iterator[Case]:
    for name, value in (
        *(
            ("RZERO_JUDGE_API_KEY", "a\nb"),
            ("RZERO_SERVER_KEY", "schlüssel"),
            ("AWS_SECRET_ACCESS_KEY", "a\x1bb"),
        ),
        *(("PREFECT_API_AUTH_STRING", "a:b\r\nX: y"), ("HF_TOKEN", "\u202e"), ("AWS_SESSION_TOKEN", "a\tb")),
    ):
        yield case_of("status made", *IN_STORE, environment={name: value})
    for url in ("http://KEY:SECRET@h", "http://K%40h", "h:9", "http://h/?key=SECRET"):
        yield case_of("status made --store s3://bucket/x", environment={"AWS_ENDPOINT_URL": url})
    for uri in (
        "s3://KEY:SECRET@bucket",
        "ftp://u:SECRET@host",
        "http://u:SECRET@host",
        "/nowhere",
        "a\x1bb",
    ):
        yield case_of(
            "run --run new --set evaluation.benchmarks=[amc23]",
            *IN_STORE,
            environment={"RZERO_BENCHMARKS": uri},
        )


CASES = [
    *_of_names(),
    *_of_uris(),
    *_of_commands(),
    *of_settings(),
    *_of_damage(),
    *_of_models(),
    *_of_environment(),
]
