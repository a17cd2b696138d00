"""Counter-based random numbers and the inverse of the cumulative distribution."""

from __future__ import annotations

import pytest
import torch

from infra.samplers.decoding.drawing import draw, row_keys, uniforms
from infra.samplers.protocol import SamplingParams

CPU = torch.device("cpu")


def numbers(count: int, position: int = 0, seed: int = 7) -> torch.Tensor:
    return uniforms(row_keys([seed] * count, range(count), CPU), position)


def test_numbers_are_uniform_and_below_one() -> None:
    drawn = numbers(100_000)
    assert 0 <= float(drawn.min()) < 1e-4
    assert 1 - 1e-4 < float(drawn.max()) < 1
    histogram = torch.histc(drawn, bins=20, min=0, max=1)
    assert float(((histogram - 5_000) ** 2 / 5_000).sum()) < 45  # chi-squared, 19 degrees, p < 0.001


@pytest.mark.parametrize("step", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_neighbouring_seeds_samples_and_positions_give_unrelated_numbers(step: tuple[int, int, int]) -> None:
    seed, sample, position = step
    seeds, samples = range(5000), [0] * 5000
    one = uniforms(row_keys(seeds, samples, CPU), 3)
    other = uniforms(row_keys([s + seed for s in seeds], [sample] * 5000, CPU), 3 + position)
    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.06
    assert int((one == other).sum()) < 5


def test_a_row_draws_the_same_number_wherever_it_stands() -> None:
    keys = row_keys([3, 4, 5], [0, 1, 2], CPU)
    assert torch.equal(uniforms(keys, 9)[[2, 0]], uniforms(row_keys([5, 3], [2, 0], CPU), 9))


def test_the_numbers_do_not_change_between_versions() -> None:
    drawn = uniforms(row_keys([0, 1, 2**63], [0, 1, 2], CPU), 5)
    assert (drawn * 2**24).long().tolist() == [5491615, 10429671, 6307767]


def frequencies(params: SamplingParams, logits: torch.Tensor, count: int = 50_000) -> torch.Tensor:
    tokens = draw(logits.expand(count, -1).clone(), params, numbers(count))
    return torch.bincount(tokens, minlength=len(logits)) / count


LOGITS = torch.tensor([0.3, -1.0, 2.0, -torch.inf, 0.31, -4.0])


@pytest.mark.parametrize(
    ("params", "kept", "temperature"),
    [
        (SamplingParams(1), [0, 1, 2, 4, 5], 1.0),
        (SamplingParams(1, temperature=0.5), [0, 1, 2, 4, 5], 0.5),
        (SamplingParams(1, top_k=2), [2, 4], 1.0),
        (SamplingParams(1, top_k=100), [0, 1, 2, 4, 5], 1.0),
        (SamplingParams(1, top_p=0.9), [0, 2, 4], 1.0),
        (SamplingParams(1, top_p=0.01), [2], 1.0),
        (SamplingParams(1, top_k=3, top_p=0.8, temperature=2.0), [0, 2, 4], 2.0),
    ],
)
def test_tokens_come_as_often_as_their_probability(
    params: SamplingParams, kept: list[int], temperature: float
) -> None:
    masked = torch.full_like(LOGITS, -torch.inf)
    masked[kept] = LOGITS[kept] / temperature
    assert torch.allclose(frequencies(params, LOGITS), masked.softmax(-1), atol=0.009)


@pytest.mark.parametrize(
    "params", [SamplingParams(1, top_k=5), SamplingParams(1, top_p=0.7), SamplingParams(1)]
)
def test_filters_keep_what_the_filters_of_transformers_keep(params: SamplingParams) -> None:
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(8, 40, generator=torch.Generator().manual_seed(0)) * 2
    want = logits
    if params.top_k:
        want = TopKLogitsWarper(params.top_k)(torch.empty(0), want)
    if params.top_p < 1:
        want = TopPLogitsWarper(params.top_p)(torch.empty(0), want)
    for row in range(8):
        seen = frequencies(params, logits[row], 5_000) > 0
        assert not bool(seen[want[row].isinf()].any())
        assert bool(seen[want[row].softmax(-1) > 0.004].all())


def test_the_largest_number_never_picks_a_token_of_probability_zero() -> None:
    logits = torch.tensor([[1.0, 2.0, -torch.inf, -torch.inf]] * 2)
    almost_one = torch.tensor([1 - 2.0**-24, 0.0])
    assert draw(logits, SamplingParams(1), almost_one).tolist() == [1, 0]
    assert draw(logits.flip(-1), SamplingParams(1), almost_one).tolist() == [3, 2]


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    assert draw(logits, SamplingParams(1, temperature=0.0), torch.zeros(2)).tolist() == [1, 0]
