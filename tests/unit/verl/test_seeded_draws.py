"""A seeded draw on a CPU: of the model's distribution, by its own seed, and never of what is cut off."""

from __future__ import annotations

import pytest
import torch

from infra.trainers.verl.cpu.seeded import draw


def _generators(seeds: list[int]) -> dict[int, torch.Generator]:
    return {row: torch.Generator().manual_seed(seed) for row, seed in enumerate(seeds)}


def test_tokens_come_as_often_as_they_are_likely() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05, 0.0])
    count = 40_000
    drawn = draw(probabilities.log().expand(count, -1), _generators(list(range(count))))
    shares = drawn.bincount(minlength=6) / count
    assert shares[1] == shares[5] == 0
    # Five standard deviations.
    assert torch.all(
        (shares - probabilities).abs() <= 5 * (probabilities * (1 - probabilities) / count).sqrt()
    )


def test_a_row_depends_on_its_own_seed_and_not_on_its_neighbours() -> None:
    logits = torch.randn(8, 50_000, generator=torch.Generator().manual_seed(0))
    seeds = [11, 12, 13, 14, 15, 16, 17, 18]
    together = draw(logits, _generators(seeds))
    alone = [draw(logits[[row]], _generators([seed])).item() for row, seed in enumerate(seeds)]
    backwards = draw(logits.flip(0), _generators(seeds[::-1])).flip(0)
    assert together.tolist() == alone == backwards.tolist()
    assert together.tolist() != draw(logits, _generators([seed + 100 for seed in seeds])).tolist()


@pytest.mark.parametrize("number", [0.0, 1 - 2**-24])
def test_the_smallest_and_the_largest_number_fall_on_a_token_that_is_not_cut_off(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([number]))
    logits = torch.full((1, 1000), -torch.inf)
    logits[0, 400:600] = torch.randn(200, generator=torch.Generator().manual_seed(1))
    assert 400 <= draw(logits, _generators([0])).item() < 600
