"""Average linkage of weighted items, cut at a threshold, in place on one matrix."""

from __future__ import annotations

import numpy as np

from tasks.rewards.bleu import Floats, Ints


def weighted_average_linkage(distances: Floats, sizes: Ints, threshold: float) -> Ints:
    """Cluster number of each item, shape (g,), from 0, merging while the average is below `threshold`.

    `distances` is the symmetric matrix (g, g) of average distances between items, each standing for
    `sizes` texts; it is used up. Nearest-neighbour chains (Murtagh, 1983): average linkage is
    reducible, so a cluster whose nearest neighbour is at or above the threshold is finished.
    """
    count = len(distances)
    weight = sizes.astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    owner = np.arange(count)
    alive = np.ones(count, dtype=bool)
    chain: list[int] = []
    start = 0
    while True:
        if not chain:
            while start < count and not alive[start]:
                start += 1
            if start == count:
                break
            chain.append(start)
        x = chain[-1]
        row = distances[x]
        y = int(row.argmin())
        if len(chain) > 1 and row[chain[-2]] <= row[y]:
            y = chain[-2]
        if not row[y] < threshold:
            alive[x] = False
            distances[:, x] = np.inf
            chain.pop()
        elif len(chain) > 1 and y == chain[-2]:
            chain.pop()
            chain.pop()
            keep, gone = min(x, y), max(x, y)
            total = weight[keep] + weight[gone]
            merged = (weight[keep] * distances[keep] + weight[gone] * distances[gone]) / total
            merged[keep] = np.inf
            distances[keep] = merged
            distances[:, keep] = merged
            distances[:, gone] = np.inf
            weight[keep] = total
            alive[gone] = False
            owner[gone] = keep
        else:
            chain.append(y)
    # A cluster merges into a lower position only, so one ascending pass resolves the owners.
    for item in range(count):
        owner[item] = owner[owner[item]]
    return np.unique(owner, return_inverse=True)[1].reshape(-1).astype(np.int64)
