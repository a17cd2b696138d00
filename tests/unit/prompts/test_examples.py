"""Examples that people wrote in the Challenger's prompt: drawn, shown, checked, and in the key."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domains.mathematics import CHALLENGER_SYSTEM, CHALLENGER_USER
from data.methods.examples import MOST_EXAMPLES, Example, ExamplesConfig
from data.prompts import Prompts
from data.resolve import ConfigError, first_difference, resolve
from flows.start import begin
from infra.artifacts.artifact import ArtifactRef
from tasks.curriculum.examples import with_examples
from tasks.stage.graph import STAGES, locate
from tests.support.chat_tokenizers import chat_tokenizer

ROWS: list[dict[str, Any]] = [
    {"question": "What is 6 times 7?", "answer": "42"},
    {"question": "How many primes are below 10?", "answer": 4},
    {"question": "Factor x^2 - 1.", "answer": "(x-1)(x+1)", "source": "a book"},
]
QWEN = "qwen3-4b"
REF = ArtifactRef(uri="store/a", digest="0" * 64, kind="model", bytes=1)


def _written(folder: Path, rows: list[Any], name: str = "people.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


def _config(file: Path | str, *overrides: str, preset: str = QWEN) -> Any:
    return with_examples(resolve("a", preset, [f"challenger.examples.file={file}", *overrides]))


def test_a_prompt_shows_examples_as_turns_between_the_instruction_and_the_request(tmp_path: Path) -> None:
    """The words before and after are the paper's prompt; nothing else is in between."""
    chat_tokenizer(None).save_pretrained(tmp_path)
    config = _config(_written(tmp_path, ROWS[:1]), "challenger.examples.count=1")
    assert Prompts(config, tmp_path).challenger(5) == (
        f"system: {CHALLENGER_SYSTEM}\nuser: {CHALLENGER_USER}\n"
        "assistant: <question>What is 6 times 7?</question>\n\\boxed{42}\n"
        f"user: {CHALLENGER_USER}\nassistant: "
    )


def test_without_examples_every_seed_has_the_papers_prompt_and_a_training_one_for_all(tmp_path: Path) -> None:
    chat_tokenizer(None).save_pretrained(tmp_path)
    prompts = Prompts(resolve("a", QWEN), tmp_path)
    plain = f"system: {CHALLENGER_SYSTEM}\nuser: {CHALLENGER_USER}\nassistant: "
    assert prompts.challenger() == prompts.challenger(3) == plain
    assert prompts.challengers(640, 3) == [plain]


def test_each_prompt_of_a_training_shows_examples_of_its_own(tmp_path: Path) -> None:
    chat_tokenizer(None).save_pretrained(tmp_path)
    prompts = Prompts(_config(_written(tmp_path, ROWS)), tmp_path)
    found = prompts.challengers(60, 3)
    assert found == prompts.challengers(60, 3) != prompts.challengers(60, 4)
    assert len(found) == 60
    # Two of three in either order.
    assert len(set(found)) == 6
    assert {text.count("</question>\n\\boxed{") for text in found} == {2}


@given(number=st.integers(1, 30), count=st.integers(1, 8), seed=st.integers(0, 2**63 - 1))
def test_examples_are_drawn_once_each_and_by_the_seed_alone(number: int, count: int, seed: int) -> None:
    shown = tuple(Example(question=f"Q{index}", answer=str(index)) for index in range(number))
    settings = ExamplesConfig(count=count, shown=shown)
    drawn = settings.drawn(seed)
    assert drawn == settings.drawn(seed)
    assert len(drawn) == len({one.question for one in drawn}) == min(count, number)
    assert set(drawn) <= set(shown)


def test_all_examples_are_drawn_about_equally_often() -> None:
    shown = tuple(Example(question=f"Q{index}", answer=str(index)) for index in range(5))
    settings = ExamplesConfig(count=2, shown=shown)
    counts = Counter(one.question for seed in range(1000) for one in settings.drawn(seed))
    # 400 each; five standard deviations of a count of 1000 draws at 2/5.
    assert all(abs(count - 400) < 5 * (1000 * 0.4 * 0.6) ** 0.5 for count in counts.values())


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet"])
def test_each_form_of_file_gives_the_same_examples(tmp_path: Path, ending: str) -> None:
    import polars as pl

    file = tmp_path / f"people{ending}"
    rows = [{"question": row["question"], "answer": str(row["answer"])} for row in ROWS]
    if ending == ".parquet":
        pl.DataFrame(rows).write_parquet(file)
    else:
        file.write_text(json.dumps(rows) if ending == ".json" else "\n".join(map(json.dumps, rows)) + "\n")
    shown = _config(file).challenger.examples.shown
    assert [one.model_dump() for one in shown] == rows


def _key(config: Any, stage: str) -> str:
    return locate(config, 1, stage, dict.fromkeys(STAGES[stage].inputs_in(config, 1), REF)).key


def test_a_changed_file_is_new_work_and_a_moved_one_is_not(tmp_path: Path) -> None:
    plain, here = resolve("a", QWEN), _config(_written(tmp_path, ROWS))
    moved = _config(_written(tmp_path, ROWS, "moved.jsonl"))
    other = _config(_written(tmp_path, [*ROWS[:2], {"question": "Factor x^2 - 4.", "answer": "(x-2)(x+2)"}]))
    for stage in STAGES:
        keys = [_key(config, stage) for config in (plain, here, moved, other)]
        assert keys[1] == keys[2], stage
        assert len(set(keys)) == (3 if stage in ("train_challenger", "generate_questions") else 1), stage


def test_what_differs_is_named_in_one_line_of_readable_length(tmp_path: Path) -> None:
    rows = [{"question": f"What is {number} + 1?", "answer": number + 1} for number in range(200)]
    first = _config(_written(tmp_path, rows))
    second = _config(_written(tmp_path, [*rows, ROWS[0]]))
    line = first_difference(first, second)
    assert line is not None
    assert line.startswith("challenger.examples.shown: was [{'question': 'What is 0 + 1?'")
    assert len(line) < 700
    assert "\n" not in line


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([], "has 0 examples, not 1 to 256"),
        (ROWS[:1] * (MOST_EXAMPLES + 1), "has 257 examples, not 1 to 256"),
        ([{"question": "What is 1 + 1?"}], "example 1: question and answer must be texts"),
        ([*ROWS, {"question": 3, "answer": "3"}], "example 4: question and answer must be texts"),
        ([*ROWS, {"question": "Is it?", "answer": True}], "example 4: question and answer must be texts"),
        ([*ROWS, ["question", "answer"]], "line 4 is not a JSON object"),
        (
            [*ROWS, {"question": "x" * 4001, "answer": "3"}],
            "example 4 would be read otherwise, if the Challenger",
        ),
        ([*ROWS, {"question": "Why?", "answer": "y" * 301}], "it: too_long"),
        ([*ROWS, {"question": " ", "answer": "3"}], "it: empty"),
        ([*ROWS, {"question": "a <question> b", "answer": "3"}], "it: nested"),
        ([*ROWS, {"question": "Why?", "answer": "a } b"}], "it: its tags, braces or blanks"),
        (ROWS[:1], "challenger.examples.count: 2 of 1 cannot be shown"),
    ],
)
def test_a_file_that_cannot_be_shown_is_one_line(tmp_path: Path, rows: list[Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        _config(_written(tmp_path, rows))
    assert str(error.value).startswith("challenger.examples")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("people.jsonl", b"\xff\xfe", "is not UTF-8 text"),
        ("people.json", b'[{"question": ', "it is not JSON"),
        ("people.parquet", b"PAR1", "is not a Parquet file"),
        ("people.yaml", b"- question: a", "is in no known form: write .jsonl, .json, .parquet"),
        ("passwd", b"root:x:0:0", "is in no known form: write .jsonl, .json, .parquet"),
        (None, b"", "there is no file "),
        ("folder.jsonl/", b"", "is in no known form"),
    ],
)
def test_what_is_no_file_of_examples_is_one_line_that_does_not_quote_it(
    tmp_path: Path, name: str | None, content: bytes, line: str
) -> None:
    file = tmp_path / (name or "absent.jsonl").rstrip("/")
    if name is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^challenger\.examples\.file: ") as error:
        _config(f"{file}/" if name and name.endswith("/") else file)
    assert line in str(error.value)
    assert "root:x" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["challenger.examples={}"], "challenger.examples: name a file, or list examples in `shown`"),
        (
            ["challenger.examples.count=9"],
            "challenger.examples.count: input should be less than or equal to 8",
        ),
        (
            ["challenger.examples.cout=1"],
            "challenger.examples.cout: there is no such setting; did you mean 'challenger.examples.c",
        ),
        (
            ["challenger.examples.file=https://me:secret@host/a.jsonl"],
            "challenger.examples.file: that is no pa",
        ),
    ],
)
def test_settings_that_cannot_be_are_one_line(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_examples(resolve("a", QWEN, overrides))
    assert str(error.value).startswith(line)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_examples_may_stand_in_the_settings_themselves() -> None:
    listed = "challenger.examples={count: 1, shown: [{question: What is 6 times 7?, answer: '42'}]}"
    config = with_examples(resolve("a", QWEN, [listed.replace("What is 6 times 7?", "'What is 6 times 7?'")]))
    assert config.challenger.examples is not None
    assert config.challenger.examples.shown == (Example(question="What is 6 times 7?", answer="42"),)


def test_the_tiny_model_refuses_examples_since_its_prompt_is_one_mark(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^challenger\.examples: the prompt of the domain 'arithmetic' is a"
    ):
        _config(_written(tmp_path, ROWS), preset="tiny")


def test_verl_and_vllm_take_examples(tmp_path: Path) -> None:
    config = _config(_written(tmp_path, ROWS))
    assert (config.trainer.backend, config.sampler.backend) == ("verl", "vllm")


def test_a_run_goes_on_with_the_examples_that_it_began_with_and_refuses_a_changed_file(
    tmp_path: Path,
) -> None:
    file, store = _written(tmp_path, ROWS), str(tmp_path / "store")
    overrides = [f"challenger.examples.file={file}", "domain=mathematics", "evaluation.benchmarks=[]"]
    begun = begin("a", "tiny", overrides=overrides, store=store)
    assert begun.challenger.examples is not None
    assert [one.question for one in begun.challenger.examples.shown] == [row["question"] for row in ROWS]
    _written(tmp_path, ROWS[:2])
    with pytest.raises(ConfigError, match=r"challenger\.examples\.shown: was \[.*, now \[") as error:
        begin("a", "tiny", overrides=overrides, store=store)
    assert "\n" not in str(error.value)
    file.unlink()
    # The name is enough, and the file is no longer needed.
    assert begin("a", store=store) == begun
    with pytest.raises(ConfigError, match=r"^challenger\.examples\.file: there is no file ") as error:
        begin("b", "tiny", overrides=overrides, store=store)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "store" / "runs" / "b").exists()
