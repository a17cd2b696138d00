"""The tiny model's tokenizer gives back the text it was given."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from data.tiny.arithmetic import random_chain, solution
from data.tiny.tokenizer import CHALLENGER, END, MARKS, PAD, SOLVER, UNKNOWN, build_tokenizer, vocabulary

TOKENIZER = build_tokenizer()
PIECES = st.sampled_from([PAD, END, CHALLENGER, SOLVER, *MARKS, *vocabulary()[8:]])


def ids(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def test_a_text_is_cut_into_the_parts_of_its_sums() -> None:
    text = f"{SOLVER}37 a+5 b-4\n37 a+5 =42 b-4:-2=40-2=8\n\\boxed{{34}}{END}"
    question = [SOLVER, "37", " a+5", " b-4", "\n"]
    at_once, in_parts = ["37", " a+5", " ", "=42"], [" b-4", ":", "-2", "=40", "-2", "=8"]
    want = [*question, *at_once, *in_parts, "\n", "\\boxed{", "34", "}", END]
    assert TOKENIZER.convert_ids_to_tokens(ids(text)) == want


def test_what_is_outside_the_domain_is_spelt_in_smaller_parts() -> None:
    assert TOKENIZER.convert_ids_to_tokens(ids("37+12 a+12 q+1 b-6=100-0=05")) == (
        [
            "37",
            "+",
            "12",
            " ",
            "a",
            "+",
            "12",
            " ",
            "q",
            "+1",
            " ",
            "b",
            "-",
            "6",
            "=10",
            "0",
            "-",
            "0",
            "=",
            "05",
        ]
    )


@given(st.lists(PIECES, max_size=30).map("".join))
def test_decoding_gives_back_every_text_of_the_alphabet(text: str) -> None:
    assert TOKENIZER.decode(ids(text), skip_special_tokens=False) == text
    assert TOKENIZER.unk_token_id not in ids(text)


@given(st.lists(st.integers(0, len(vocabulary()) - 1), max_size=30))
def test_decoding_spells_out_every_token(tokens: list[int]) -> None:
    names = vocabulary()
    assert TOKENIZER.decode(tokens, skip_special_tokens=False) == "".join(names[token] for token in tokens)


def test_a_step_at_once_has_three_tokens_and_one_in_parts_has_six() -> None:
    rng = random.Random(0)
    for length in range(2, 14):
        chain = random_chain(rng, length)
        parted = sum(abs(step) > 1 for step in chain.steps)
        assert len(ids(solution(chain, rng, 0.0, 0.0))) == 1 + 3 * (length - 1) + 4
        assert len(ids(solution(chain, rng, 0.0, 1.0, hurry=0.0))) == 1 + 3 * (length - 1) + 3 * parted + 4


def test_other_characters_become_the_unknown_token() -> None:
    assert TOKENIZER.convert_ids_to_tokens(ids("é")) == [UNKNOWN]


def test_no_token_is_added_and_the_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = f"{SOLVER}37 a+5\n"
    assert loaded(text)["input_ids"] == loaded(text, add_special_tokens=False)["input_ids"] == ids(text)
    assert loaded.get_vocab() == TOKENIZER.get_vocab()
    assert (loaded.pad_token, loaded.eos_token, loaded.padding_side) == (PAD, END, "left")
    assert loaded.decode(ids(text + "\\boxed{5}" + END)) == text + "\\boxed{5}" + END


@pytest.mark.parametrize("mark", MARKS)
def test_the_marks_of_the_format_stay_when_special_tokens_are_dropped(mark: str) -> None:
    assert TOKENIZER.decode(ids(f"{mark}42{END}"), skip_special_tokens=True) == f"{mark}42"


def test_every_token_has_one_id_in_order() -> None:
    assert TOKENIZER.get_vocab() == {token: index for index, token in enumerate(vocabulary())}
    assert len(set(vocabulary())) == len(vocabulary()) == len(TOKENIZER)
