"""Which tokens vocabulary dropout hides, and that none of them is drawn."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data import domains
from data.backends import TransformersSamplerConfig
from data.resolve import resolve
from data.tiny.pretrain import new_model
from data.tiny.tokenizer import CHALLENGER, END, PAD, SOLVER, build_tokenizer, vocabulary
from infra.samplers import Sampler, SamplingParams, open_sampler
from infra.samplers.decoding.vocabulary import hidden_tokens
from infra.samplers.protocol import Completion, VocabularyDropout
from tests.support.chat_tokenizers import chat_tokenizer

TOKENIZER = build_tokenizer()
FORMAT = domains.get("arithmetic").format
_MASK = 2**64 - 1


class _Model:
    """What of a model says how many tokens it has."""

    device = torch.device("cpu")

    def __init__(self, size: int) -> None:
        self.config = SimpleNamespace(get_text_config=lambda decoder: SimpleNamespace(vocab_size=size))


def hidden(share: float, seed: int, spared: tuple[str, ...] = (), size: int = 340, **more: Any) -> set[int]:
    """The numbers of the hidden tokens of a table of so many."""
    dropout = VocabularyDropout(share, spared, seed)
    found = hidden_tokens(dropout, _Model(size), more.get("tokenizer", TOKENIZER), more.get("ends", ()))  # type: ignore[arg-type]
    assert found is not None
    assert (found.dtype, found.shape) == (torch.bool, (size,))
    return set(found.nonzero()[:, 0].tolist())


def _splitmix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def test_a_token_is_hidden_where_its_hash_is_below_the_share() -> None:
    """The hash in plain integers, with splitmix64's finaliser: of the seed, the token, and the place 0."""
    golden = 0x9E3779B97F4A7C15
    by_hand = set()
    for token in range(340):
        key = _splitmix((_splitmix(7) + token * golden) & _MASK)
        number = (_splitmix((key + golden) & _MASK) >> 40) / 2**24
        if number < 0.15 and token not in TOKENIZER.added_tokens_decoder:
            by_hand.add(token)
    assert hidden(0.15, 7) == by_hand
    assert sorted(by_hand)[:6] == [8, 12, 23, 25, 27, 33]


def test_without_dropout_nothing_is_looked_up() -> None:
    assert hidden_tokens(None, None, None, ()) is None  # type: ignore[arg-type]


@settings(deadline=None)
@given(seed=st.integers(0, 2**63 - 1), share=st.floats(0.0, 0.99))
def test_a_smaller_share_hides_some_of_the_same_and_a_larger_table_hides_the_same_and_more(
    seed: int, share: float
) -> None:
    assert hidden(share, seed) == hidden(share, seed)
    assert hidden(share / 2, seed) <= hidden(share, seed)
    assert hidden(share, seed) == {token for token in hidden(share, seed, size=900) if token < 340}
    assert hidden(0.0, seed) == set()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), share=st.floats(0.05, 0.95))
def test_the_share_is_that_of_the_tokens_and_other_seeds_hide_others(seed: int, share: float) -> None:
    size = 20_000
    found, others = hidden(share, seed, size=size), hidden(share, seed ^ 1, size=size)
    # Six standard deviations of a count of independent tokens, and of those that both hide.
    assert abs(len(found) - share * size) < 6 * math.sqrt(share * (1 - share) * size)
    both = share**2
    assert abs(len(found & others) - both * size) < 6 * math.sqrt(both * (1 - both) * size) + 1


@settings(deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_what_the_format_is_made_of_is_never_hidden(seed: int) -> None:
    found = hidden(0.99, seed, (*FORMAT, "40"), ends=[3])
    written = "<question>\n</question>\n\\boxed{40}"
    spared = set(TOKENIZER(written, add_special_tokens=False)["input_ids"])
    names = {PAD, END, CHALLENGER, SOLVER}
    assert not found & (spared | {3} | {TOKENIZER.convert_tokens_to_ids(name) for name in names})
    assert len(found) > 250


def test_a_format_that_is_spelt_in_parts_is_spared_part_by_part() -> None:
    tokenizer = chat_tokenizer(None)
    found = hidden(0.99, 5, domains.get("mathematics").format, size=len(tokenizer), tokenizer=tokenizer)
    for text in ("<question>", "</question>\n\\boxed{", "}", "\n<question>"):
        assert not found & set(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert found & set(tokenizer("What is 7 + 8?", add_special_tokens=False)["input_ids"])


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampler") / "model"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        new_model(TOKENIZER).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def _drawn(model_dir: Path, dropout: VocabularyDropout | None, **params: Any) -> list[list[Completion]]:
    asked = SamplingParams(**{"max_tokens": 30, "samples": 20, "dropout": dropout, **params})
    with open_sampler(TransformersSamplerConfig(device="cpu"), model_dir) as sampler:
        return sampler.sample([CHALLENGER] * 4, asked, [1, 2, 3, 4])


@pytest.mark.parametrize(
    "params", [{}, {"top_p": 0.9}, {"top_k": 50}, {"temperature": 0.0}, {"temperature": 2.0, "top_k": 5}]
)
def test_no_hidden_token_is_drawn(model_dir: Path, params: dict[str, float]) -> None:
    dropout = VocabularyDropout(0.5, FORMAT, 3)
    found = {
        token for group in _drawn(model_dir, dropout, **params) for one in group for token in one.token_ids
    }
    assert found
    assert not found & hidden(0.5, 3, FORMAT, size=len(vocabulary()))


def test_a_share_of_0_draws_what_is_drawn_without(model_dir: Path) -> None:
    assert _drawn(model_dir, VocabularyDropout(0.0, FORMAT, 3)) == _drawn(model_dir, None)
    assert _drawn(model_dir, VocabularyDropout(0.3, FORMAT, 3)) != _drawn(model_dir, None)


def test_labels_give_other_tokens_and_the_same_ones_again() -> None:
    dropout = VocabularyDropout(0.15, ("x",), 7)
    assert dropout.at("step", 1) == dropout.at("step", 1)
    assert len({dropout.at("step", step).seed for step in range(50)}) == 50
    assert (dropout.at("step", 1).share, dropout.at("step", 1).spared) == (0.15, ("x",))


class _Plain(Sampler):
    def _draw(self, prompts: list[str], params: SamplingParams, seeds: list[int]) -> list[list[Completion]]:
        return [[Completion("a", (1,), "stop", seed, 1)] for seed in seeds]

    def _free(self, at_once: bool) -> None:
        pass


def test_a_sampler_that_cannot_hide_tokens_says_so_instead_of_drawing_them() -> None:
    params = SamplingParams.of(resolve("a").questions, dropout=VocabularyDropout(0.1, (), 0))
    with pytest.raises(
        ValueError, match=r"^this sampler draws from all tokens; use the sampler 'transformers'$"
    ):
        _Plain().sample(["a"], params, [0])
    assert _Plain().sample(["a"], SamplingParams(max_tokens=1), [0])
