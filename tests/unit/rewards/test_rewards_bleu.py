"""BLEU distances and clusters against nltk and scikit-learn."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from scipy.spatial.distance import squareform
from sklearn.cluster import AgglomerativeClustering

from data.resolve import ConfigError, resolve
from tasks.rewards import bleu, clusters

SMOOTHING = SmoothingFunction().method1


def distances(texts: list[str]) -> np.ndarray:
    return squareform(bleu.condensed_distances(bleu.encode(texts)))


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
        assert np.abs(distances(texts) - peer_distances(texts)).max() < 1e-12


def test_the_earlier_text_of_a_pair_is_the_hypothesis() -> None:
    texts = ["a b c d e f", "a b c d"]
    forward, backward = distances(texts)[0, 1], distances(texts[::-1])[0, 1]
    assert forward == pytest.approx(peer_distances(texts)[0, 1], abs=1e-12)
    assert forward != pytest.approx(backward, abs=1e-3)


def test_copies_have_distance_zero_from_four_words_on() -> None:
    expected = {"": 1.0, "a": 0.8222, "a b": 0.6838, "a b c": 0.4377, "a b c d": 0.0, "a a a a a": 0.0}
    for text, distance in expected.items():
        assert distances([text, text])[0, 1] == pytest.approx(distance, abs=1e-4)


def test_the_blocks_of_a_larger_batch_join_seamlessly() -> None:
    texts = next(batches(1, 40))
    batch = bleu.encode(texts)
    assert np.array_equal(bleu.condensed_distances(batch, 100), bleu.condensed_distances(batch))


def test_the_partition_equals_that_of_scikit_learn() -> None:
    for texts in batches(20, 40):
        assert same_partition(clusters.cluster_labels(texts), peer_labels(distances(texts)))


def test_a_batch_beyond_what_can_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="32769 questions in one batch: at most 32768 can be compared"):
        clusters.cluster_labels(["a"] * 32_769)
    with pytest.raises(ConfigError, match=r"questions.count: input should be less than or equal to 32768"):
        resolve("a", overrides=["questions.count=32769"])


def test_a_merge_at_exactly_the_threshold_is_not_made() -> None:
    texts = ["a b c d e", "a b c d f"]
    distance = float(distances(texts)[0, 1])
    assert clusters.cluster_labels(texts, distance).tolist() == [0, 1]
    assert clusters.cluster_labels(texts, float(np.nextafter(distance, 1))).tolist() == [0, 0]


def test_clusters_are_numbered_in_order_of_first_appearance() -> None:
    texts = ["a b c d e", "p q r s t", "a b c d e", "v w x y z", "p q r s t"]
    assert clusters.cluster_labels(texts).tolist() == [0, 1, 0, 2, 1]
