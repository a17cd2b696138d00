"""Clusters of near-duplicate texts: average linkage over BLEU distances, cut below a threshold.

Two clusters can only merge below the threshold if some pair of their texts is below it, so no merge
crosses the connected components of "closer than the threshold". Diverse text falls into tiny
components, found without computing most distances, and each is clustered by scipy's average linkage,
the routine that scikit-learn calls too. The partition is that of the matrix of all distances, except
that where several merges tie exactly the order in which they are made may matter: so a batch of up to
`FULL_MATRIX` texts with such ties is clustered on the matrix of all its distances after all.

Memory and time grow with the square of a component's size: 8000 texts, the presets' largest batch, that all
hang together take up to 0.6 GB and half a minute, 16,000 2.1 GB. `LARGEST_COMPONENT` is the limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components

from tasks.rewards import bleu
from tasks.rewards.bleu import Batch, Floats, Ints

FULL_MATRIX = 4096
LARGEST_COMPONENT = 32_768
"""The most texts that are clustered together; the distances of more do not fit an ordinary memory."""
PROBES = 16


def cluster_labels(
    texts: Sequence[str],
    threshold: float = 0.5,
    full_matrix: int = FULL_MATRIX,
    largest_component: int = LARGEST_COMPONENT,
) -> Ints:
    """Cluster number of each text, shape (n,), numbered from 0 in order of first appearance.

    Clusters are merged while their average distance is strictly below `threshold` (paper: 0.5). ValueError
    if more than `largest_component` texts hang together.
    """
    batch = bleu.encode(texts)
    if len(batch) == 0:
        return np.zeros(0, dtype=np.int64)
    small = len(batch) <= full_matrix
    if small and _looks_collapsed(batch, threshold):
        return _renumber(_linked(bleu.condensed_distances(batch), threshold))
    components = _components(batch, threshold)
    labels = np.zeros(len(batch), dtype=np.int64)
    used = 0
    for members in components:
        part = np.zeros(1, dtype=np.int64)
        if len(members) > largest_component:
            raise ValueError(
                f"{len(members)} questions of one batch hang together as near-copies, and at most "
                f"{largest_component} can be compared: the Challenger has collapsed; lower questions.count"
            )
        if len(members) > 1:
            distances = bleu.condensed_distances(batch.take(members))
            if distances.max() < threshold:
                part = np.zeros(len(members), dtype=np.int64)
            elif small and len(np.unique(distances)) < len(distances):
                return _renumber(_linked(bleu.condensed_distances(batch), threshold))
            else:
                part = _linked(distances, threshold)
        labels[members] = used + part
        used += int(part.max()) + 1
    return _renumber(labels)


def _looks_collapsed(batch: Batch, threshold: float) -> bool:
    """Whether one of a few rows is close to a sizeable share of the batch: then all distances matter."""
    everything = np.arange(len(batch))
    probes = np.unique(np.linspace(0, len(batch) - 1, PROBES).astype(np.int64))
    close = _close_pairs(batch, probes, everything, threshold)[0]
    return len(close) > 0 and int(np.bincount(close).max()) > max(8, len(batch) // 32)


def _renumber(labels: NDArray[np.integer]) -> Ints:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.reshape(-1)].astype(np.int64)


def _linked(distances: Floats, threshold: float) -> Ints:
    if len(distances) == 0:
        return np.zeros(1, dtype=np.int64)
    tree = linkage(distances, method="average")
    # fcluster cuts at "not above"; the threshold is strict.
    cut = np.nextafter(threshold, 0.0)
    return fcluster(tree, cut, criterion="distance").astype(np.int64) - 1


def _components(batch: Batch, threshold: float) -> list[Ints]:
    """Connected components of "distance below the threshold", each an ascending array of rows."""
    found, rest = _giants(batch, threshold)
    parent = np.arange(len(rest))
    for rows in bleu.row_blocks(len(rest), len(rest)):
        i, j = _close_pairs(batch, rest[rows], rest[rows.start :], threshold)
        i, j = i + rows.start, j + rows.start
        distinct = i != j
        if distinct.any():
            # Joined block by block, so that the edges are never all held at once.
            parent = _join(parent, i[distinct], j[distinct])
    order = np.argsort(parent, kind="stable")
    edges = np.flatnonzero(np.diff(parent[order])) + 1
    found.extend(rest[part] for part in np.split(order, edges) if len(part))
    return found


def _join(parent: Ints, i: Ints, j: Ints) -> Ints:
    """The component of each position after the edges (i, j), named by a position in it."""
    n = len(parent)
    graph = sp.coo_array((np.ones(len(i), dtype=np.int8), (parent[i], parent[j])), shape=(n, n))
    _, joined = connected_components(graph, directed=False)
    _, first = np.unique(joined, return_index=True)
    return first[joined[parent]].astype(np.int64)


def _giants(batch: Batch, threshold: float) -> tuple[list[Ints], Ints]:
    """Components that hold a sizeable share of the batch, and the rows in none of them.

    Found by breadth-first search from a few rows: every step looks only at rows not yet reached, so
    collapsed text, of which the first row reaches nearly all, costs next to nothing.
    """
    n = len(batch)
    unseen = np.ones(n, dtype=bool)
    giants: list[Ints] = []
    for seed in np.linspace(0, n - 1, PROBES).astype(np.int64):
        if not unseen[seed]:
            continue
        rest = np.flatnonzero(unseen)
        reached = rest[_close_pairs(batch, np.array([seed]), rest, threshold)[1]]
        if len(reached) < n // 64:
            continue
        members = unseen.copy()
        frontier = np.array([seed])
        unseen[seed] = False
        while len(frontier):
            fresh: list[Ints] = []
            for rows in bleu.row_blocks(len(frontier), n):
                rest = np.flatnonzero(unseen)
                if len(rest) == 0:
                    break
                near = np.unique(rest[_close_pairs(batch, frontier[rows], rest, threshold)[1]])
                unseen[near] = False
                fresh.append(near)
            frontier = np.concatenate(fresh) if fresh else np.zeros(0, dtype=np.int64)
        giants.append(np.flatnonzero(members & ~unseen))
    return giants, np.flatnonzero(unseen)


def _close_pairs(batch: Batch, rows: Ints, columns: Ints, threshold: float) -> tuple[Ints, Ints]:
    """Positions (i, j) with texts rows[i] and columns[j] closer than the threshold; the lower row number
    is the hypothesis. A row that is also a column counts as close to itself or not, at random.
    """
    # Without a common 4-gram the precision there is at most 0.1 / (L - 3), so for a hypothesis of L
    # words BLEU cannot pass the fourth root of that: two long enough texts can only be close if they
    # share a 4-gram, and few do unless the text is collapsed.
    lengths = batch.lengths
    ceiling = (bleu.EPSILON / np.maximum(1, lengths - bleu.ORDERS[-1] + 1)) ** 0.25
    short = 1.0 - ceiling <= threshold + 1e-9
    row_short, column_short = np.flatnonzero(short[rows]), np.flatnonzero(short[columns])
    row_long = np.flatnonzero(~short[rows])
    every = np.arange(len(columns))
    parts = [(row_long, every, 3), (row_long, column_short, 0), (row_short, every, 0)]
    pairs = [
        _close_sharing(batch, rows, columns, i, j, order, threshold)
        for i, j, order in parts
        if len(i) and len(j)
    ]
    if not pairs:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


def _close_sharing(
    batch: Batch, rows: Ints, columns: Ints, i: Ints, j: Ints, order: int, threshold: float
) -> tuple[Ints, Ints]:
    """The close ones among those pairs of `rows[i]` and `columns[j]` that share an n-gram of `order`."""
    left = [matrix[rows[i]] for matrix in batch.features]
    right = [matrix[columns[j]] for matrix in batch.features]
    found = (left[order] @ right[order].T).tocoo()
    a, b = found.row.astype(np.int64), found.col.astype(np.int64)
    overlaps = [
        found.data if k == order else _pair_overlaps(left[k], right[k], a, b) for k in range(len(bleu.ORDERS))
    ]
    first, second = rows[i[a]], columns[j[b]]
    lower, upper = np.minimum(first, second), np.maximum(first, second)
    close = 1.0 - bleu.scores(overlaps, batch.lengths[lower], batch.lengths[upper]) < threshold
    return i[a[close]], j[b[close]]


def _pair_overlaps(left: sp.csr_array, right: sp.csr_array, i: Ints, j: Ints) -> NDArray[np.float32]:
    """Overlap of rows left[i] and right[j], pair by pair, shape (pairs,)."""
    if len(i) > left.shape[0] * right.shape[0] // 16:
        return np.asarray((left @ right.T).toarray()[i, j], dtype=np.float32)
    result = np.zeros(len(i), dtype=np.float32)
    step = 1 << 15
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        result[part] = np.asarray(left[i[part]].multiply(right[j[part]]).sum(axis=1)).reshape(-1)
    return result
