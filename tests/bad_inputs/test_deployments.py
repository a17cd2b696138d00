"""What a person hands to a deployment or types into its form: refused in one line, before a run exists.

What the parameters' schema says the server refuses by it, and the form shows it. The rest, and the same
where no server has looked at it, the flow refuses when it begins; the store is left as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema_from_entrypoint
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.errors import BAD_INPUT
from flows.parameters import presets
from flows.start import begin
from infra.store.store import Store, StoreError
from tests.unit.report.conftest import make_run

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 300
SECRETS = re.compile(r"SECRET(?!_ACCESS_KEY)|KEY:")
SCHEMAS = {
    name: parameter_schema_from_entrypoint(f"{ROOT}/flows/{name}.py:{name}").model_dump()
    for name in ("iteration", "evolve")
}
BY_SCHEMA: dict[str, tuple[Any, ...]] = {
    "run": (
        *(
            "",
            "..",
            "a/b",
            "../made",
            "/made",
            "-",
            ".made",
            "mäde",
            "made\n",
            "made\x00",
            "ma de",
            "made\x1b",
        ),
        *("x" * 65, "a..b", 7, None, ["made"], "C:made", "{run}", "made\u202e"),
    ),
    "preset": (
        "",
        "Tiny",
        "tiny ",
        "qwen",
        "tiny+",
        "tiny+nothing",
        "../tiny",
        7,
        ["tiny"],
        "tiny+verl+verl",
    ),
    "iteration": (0, -1, -(10**30), 1.5, "one", "1", True, [1]),
    "iterations": (0, -1, 2.5, "three", False, {}),
    "store": (
        *(
            "",
            "gs://b",
            "az://c/x",
            "ftp://h/x",
            "file:x",
            "s3:b",
            "s3://",
            "zip://a.zip",
            "hf://datasets/x",
            7,
        ),
        *("s3://KEY:SECRET@bucket", "s3://KEY%3ASECRET%40bucket", "a\nb", "a\x00b", "simplecache::s3://b/x"),
    ),
    "overrides": (
        *({"run": "x"}, {"preset": "tiny"}, {"solvr.steps": 1}, {"": 1}, {"solver.": 1}, {".solver": 1}),
        *(
            {"solver learning_rate": 1},
            {"solver.a/b": 1},
            {"seed\n": 1},
            {"__class__": 1},
            "seed=1",
            ["seed=1"],
            7,
        ),
    ),
}
AT_THE_START: tuple[dict[str, Any], ...] = (
    {"iteration": 0},
    {"iteration": -1},
    {"iteration": 2},
    {"iteration": 10**30},
    {"run": "made", "iteration": 3},
    {"run": "made", "iteration": 10**30},
    {"run": "made", "preset": "qwen3-4b"},
    {"run": "made", "overrides": {"seed": 5}},
    {"run": "a..b"},
    {"run": ""},
    {"preset": "nothing"},
    {"store": "s3://KEY:SECRET@bucket"},
    {"store": "gs://bucket"},
    {"overrides": {"solver.steps": -1}},
    {"overrides": {"solver.steps": "many"}},
    {"overrides": {"solver.learning_rate": -1}},
    {"overrides": {"solver.learning_rat": 1e-6}},
    {"overrides": {"solver": 3}},
    {"overrides": {"seed.x": 1}},
    {"overrides": {"seed": -1}},
    {"overrides": {"iterations": 0}},
    {"overrides": {"domain": "poetry"}},
    {"overrides": {"timeout_seconds.dance": 5}},
    {"overrides": {"sampler.backend": "telepathy"}},
    {"overrides": {"sampler.python": "/bin/sh"}},
    {"overrides": {"base_model.name": "/nowhere"}},
    {"overrides": {"evaluation.benchmarks": ["nothing"]}},
)
GOOD: tuple[dict[str, Any], ...] = (
    {"run": "x"},
    {"run": "A.b_c-1", "preset": "qwen3-4b+official-code", "iteration": 12},
    {"run": "x" * 64, "store": "/data/rzero", "overrides": {"solver.learning_rate": 2e-6, "seed": 1}},
    {"run": "x", "store": "s3://bucket/a/prefix"},
    {"run": "x", "store": "./a:b"},
    {"run": "x", "store": "memory://name", "overrides": {"timeout_seconds.train_solver": 60}},
    {"run": "x", "store": "file:///data/x", "overrides": {}},
)


def _with(parameter: str, value: Any) -> dict[str, Any]:
    return {"run": "new", parameter: value}


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        pytest.param(name, value, id=f"{name}={value!r:.40}".encode("unicode_escape").decode())
        for name, values in BY_SCHEMA.items()
        for value in values
    ],
)
def test_the_server_refuses_a_bad_parameter_by_its_schema_in_one_line(parameter: str, value: Any) -> None:
    flows = [name for name, schema in SCHEMAS.items() if parameter in schema["properties"]]
    assert flows
    for flow in flows:
        with pytest.raises(ValidationError) as refused:
            validate(_with(parameter, value), SCHEMAS[flow], raise_on_error=True)
        (line,) = str(refused.value).splitlines()
        assert parameter in line


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of which one iteration is finished."""
    folder = tmp_path_factory.mktemp("form") / "store"
    make_run(Store(str(folder)), "made", iterations=1)
    return folder


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    stats = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (each.st_mtime_ns, each.st_size) for name, each in stats.items()}


@pytest.mark.parametrize("given", AT_THE_START, ids=lambda given: str(given)[:60])
def test_a_flow_refuses_at_its_start_what_no_schema_knows_in_one_line_and_leaves_nothing(
    given: Mapping[str, Any], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = _files(store)
    with pytest.raises((*BAD_INPUT, StoreError)) as refused:
        begin(**{"run": "new", "store": str(store), **given})
    (line,) = str(refused.value).splitlines()
    assert line.isprintable()
    assert len(line.replace(str(store), "")) <= LONGEST_LINE
    assert not SECRETS.search(line)
    assert _files(store) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", GOOD, ids=lambda given: str(given)[:60])
def test_the_schema_takes_what_is_good(given: dict[str, Any]) -> None:
    validate(given, SCHEMAS["iteration"], raise_on_error=True)


def test_every_choice_of_the_form_is_a_preset_that_resolves_but_what_verl_has_not() -> None:
    from data.resolve import ConfigError, resolve

    for preset in presets():
        trains_with_verl = preset.startswith(("qwen3", "octothinker")) or "verl" in preset
        if trains_with_verl and ("agent0-solver" in preset or "vocabulary-dropout" in preset):
            lacks = r"verl has no (solver\.label_trust|challenger\.vocabulary_dropout)"
            with pytest.raises(ConfigError, match=lacks):
                resolve("x", preset)
        else:
            assert resolve("x", preset).preset == preset


def test_the_table_has_at_least_forty_cases() -> None:
    assert sum(map(len, BY_SCHEMA.values())) + len(AT_THE_START) >= 40
