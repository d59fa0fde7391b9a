"""k-means where only inner products of the points are known.

Lloyd's steps need distances to means alone, and with G = X X^T the squared distance of point i
to the mean of a group C is G_ii - 2 mean_{j in C} G_ij + mean_{j, l in C} G_jl: points of
thousands of channels that are never built, as log-binned descriptors, cluster as if they were.
"""

import numpy as np

_STEPS = 100


def gram_kmeans(gram: np.ndarray, clusters: int, *, seed: int = 0, restarts: int = 10) -> np.ndarray:
    """Group numbers (P,) int64 from 0 on; fewer groups where fewer points differ.

    k-means++ seeds, Lloyd's steps until nothing changes, the best of `restarts`.

    Args:
        gram: (P, P) inner products of the points, symmetric, P >= 1.
        clusters: groups wanted, at least 1.

    Raises:
        ValueError: not a square matrix with a row, or `clusters` below 1.
    """
    gram = np.asarray(gram, dtype=np.float32)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not len(gram) or clusters < 1:
        raise ValueError(
            f"expected inner products (P, P), P >= 1, and at least 1 group; got {gram.shape} "
            f"and {clusters}"
        )
    rng = np.random.default_rng(seed)
    found = [_lloyd(gram, _seeds(gram, clusters, rng)) for _ in range(restarts)]
    errors = [error for _, error in found]
    return found[int(np.argmin(errors))][0]


def _seeds(gram: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Points (K,), each drawn with probability proportional to its squared distance to those."""
    own = np.diag(gram)
    least = 1e-5 * float(own.max())
    chosen = [int(rng.integers(len(gram)))]
    nearest = np.full(len(gram), np.inf, dtype=np.float32)
    while len(chosen) < clusters:
        nearest = np.minimum(nearest, own + own[chosen[-1]] - 2 * gram[chosen[-1]])
        weights = np.where(nearest > least, nearest, 0).cumsum(dtype=np.float64)
        if weights[-1] == 0:
            break  # every point equals a chosen one
        chosen.append(int(np.searchsorted(weights, rng.random() * weights[-1], side="right")))
    return np.array(chosen)


def _lloyd(gram: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, float]:
    """Group numbers (P,), and the sum of squared distances to the groups' means."""
    own = np.diag(gram)
    distances = own[:, None] + own[seeds] - 2 * gram[:, seeds]
    labels = distances.argmin(axis=1)
    for _ in range(_STEPS):
        members = np.eye(len(seeds), dtype=np.float32)[labels]
        members /= np.maximum(members.sum(axis=0), 1)
        cross = gram @ members
        distances = own[:, None] - 2 * cross + np.einsum("pk,pk->k", members, cross)
        distances[:, members.sum(axis=0) == 0] = np.inf
        moved = distances.argmin(axis=1)
        if (moved == labels).all():
            break
        labels = moved
    return labels, float(distances[np.arange(len(gram)), labels].sum())
