"""k-means over more descriptors than memory holds: partial sums of blocks, one reduction.

A Lloyd step needs of each block only the sum, the number and the squared distances of every
cluster's members. Blocks are summed in float64 and reduced in the order of the blocks, so the
result does not depend on who computed which block, or when.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tasks.ops.kmeans import squared_distances


@dataclass(frozen=True, slots=True)
class PartialSums:
    """What one block of descriptors gives to a Lloyd step.

    sums: (K, D) float64, of each cluster's members. counts: (K,) int64. inertia: sum of squared
    distances to the nearest centre. farthest: (D,) float32, the descriptor that is farthest
    from its centre, and `distance`, its squared distance: the seed for an empty cluster.
    """

    sums: np.ndarray
    counts: np.ndarray
    inertia: float
    farthest: np.ndarray
    distance: float


def partial_sums(descriptors: np.ndarray, centers: np.ndarray, *, rows: int = 16384) -> PartialSums:
    """Assign `descriptors` (P, D), P >= 1, to `centers` (K, D) and sum up, `rows` at a time."""
    clusters, channels = centers.shape
    sums = np.zeros((clusters, channels))
    counts = np.zeros(clusters, dtype=np.int64)
    inertia, distance = 0.0, -1.0
    farthest = np.zeros(channels, dtype=np.float32)
    for start in range(0, len(descriptors), rows):
        block = np.asarray(descriptors[start : start + rows], dtype=np.float32)
        distances = squared_distances(block, centers)
        labels = distances.argmin(axis=1)
        nearest = distances[np.arange(len(block)), labels]
        for cluster in np.unique(labels):
            sums[cluster] += block[labels == cluster].sum(axis=0, dtype=np.float64)
        counts += np.bincount(labels, minlength=clusters)
        inertia += float(nearest.sum(dtype=np.float64))
        if nearest.max() > distance:
            distance = float(nearest.max())
            farthest = block[nearest.argmax()]
    return PartialSums(sums, counts, inertia, farthest, distance)


def reduce_sums(parts: Iterable[PartialSums]) -> PartialSums:
    """The sums of all blocks together; give them in a fixed order for equal bits.

    Raises:
        ValueError: no blocks.
    """
    rest = iter(parts)
    total = next(rest, None)
    if total is None:
        raise ValueError("nothing to reduce: expected the partial sums of at least one block")
    for part in rest:
        far = total if total.distance >= part.distance else part
        total = PartialSums(
            total.sums + part.sums,
            total.counts + part.counts,
            total.inertia + part.inertia,
            far.farthest,
            far.distance,
        )
    return total


def update_centers(
    total: PartialSums, centers: np.ndarray, *, spherical: bool = True
) -> np.ndarray:
    """New centres (K, D) float32: means of the members; `spherical`: scaled to unit length.

    The first empty cluster moves to the descriptor that was farthest from its centre; any
    others stay until the next step.
    """
    means = np.where(
        total.counts[:, None] > 0, total.sums / np.maximum(total.counts, 1)[:, None], centers
    )
    empty = np.flatnonzero(total.counts == 0)
    if len(empty):
        means[empty[0]] = total.farthest
    if spherical:
        means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return means.astype(np.float32)
