"""BLEU distances and clusters against nltk and scikit-learn."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from sklearn.cluster import AgglomerativeClustering

from tasks.rewards import bleu, clusters

SMOOTHING = SmoothingFunction().method1


def peer_distances(texts: list[str]) -> np.ndarray:
    matrix = np.zeros((len(texts), len(texts)))
    for i, hypothesis in enumerate(texts):
        for j in range(i + 1, len(texts)):
            score = sentence_bleu([texts[j].split()], hypothesis.split(), smoothing_function=SMOOTHING)
            matrix[i, j] = matrix[j, i] = 1.0 - score
    return matrix


def peer_labels(matrix: np.ndarray) -> np.ndarray:
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=0.5
    )
    return model.fit(matrix).labels_


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist()))


def batches(count: int, largest: int) -> Iterator[list[str]]:
    """Batches of texts with few or many words, short and empty ones, copies and near-copies."""
    for seed in range(count):
        generator = random.Random(seed)
        vocabulary = [chr(97 + k) for k in range(generator.choice([3, 6, 26]))]
        longest = generator.choice([3, 8, 20])
        texts = [
            " ".join(generator.choice(vocabulary) for _ in range(generator.randint(0, longest)))
            for _ in range(generator.randint(2, largest))
        ]
        for _ in range(largest // 2):
            words = generator.choice(texts).split()
            texts.append(" ".join(w if generator.random() > 0.1 else "z" for w in words))
        generator.shuffle(texts)
        yield texts


def test_distances_equal_those_of_nltk_to_twelve_digits() -> None:
    for texts in batches(15, 20):
        assert np.abs(bleu.distances(texts) - peer_distances(texts)).max() < 1e-12


def test_the_earlier_text_of_a_pair_is_the_hypothesis() -> None:
    texts = ["a b c d e f", "a b c d"]
    forward, backward = bleu.distances(texts)[0, 1], bleu.distances(texts[::-1])[0, 1]
    assert forward == pytest.approx(peer_distances(texts)[0, 1], abs=1e-12)
    assert forward != pytest.approx(backward, abs=1e-3)


def test_copies_have_distance_zero_from_four_words_on() -> None:
    expected = {"": 1.0, "a": 0.8222, "a b": 0.6838, "a b c": 0.4377, "a b c d": 0.0, "a a a a a": 0.0}
    for text, distance in expected.items():
        assert bleu.distances([text, text])[0, 1] == pytest.approx(distance, abs=1e-4)


def test_the_blocks_of_a_larger_batch_join_seamlessly() -> None:
    texts = next(batches(1, 40))
    assert np.array_equal(bleu.distances(texts, block_entries=100), bleu.distances(texts))


def test_the_partition_equals_that_of_scikit_learn() -> None:
    for texts in batches(20, 40):
        assert same_partition(clusters.cluster_labels(texts), peer_labels(bleu.distances(texts)))


def test_the_path_of_large_batches_gives_the_same_partition() -> None:
    for texts in batches(12, 40):
        labels = clusters.cluster_labels(texts, full_matrix=0)
        assert same_partition(labels, peer_labels(bleu.distances(texts)))


def test_a_batch_that_collapsed_beyond_what_can_be_compared_is_refused() -> None:
    stem = "find the sum of all the integers between zero and"
    texts = [f"{stem} {k}" for k in range(24)]
    with pytest.raises(ValueError, match=r"24 questions of one batch .* at most 20 can be compared"):
        clusters.cluster_labels(texts, full_matrix=0, largest_component=20)


def test_a_merge_at_exactly_the_threshold_is_not_made() -> None:
    texts = ["a b c d e", "a b c d f"]
    distance = float(bleu.distances(texts)[0, 1])
    assert clusters.cluster_labels(texts, distance).tolist() == [0, 1]
    assert clusters.cluster_labels(texts, float(np.nextafter(distance, 1))).tolist() == [0, 0]


def test_clusters_are_numbered_in_order_of_first_appearance() -> None:
    texts = ["a b c d e", "p q r s t", "a b c d e", "v w x y z", "p q r s t"]
    assert clusters.cluster_labels(texts).tolist() == [0, 1, 0, 2, 1]
