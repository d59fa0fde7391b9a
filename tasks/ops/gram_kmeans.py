"""k-means where only inner products of the points are known.

Lloyd's steps need distances to means alone, and with G = X X^T the squared distance of point i
to the mean of a group C is G_ii - 2 mean_{j in C} G_ij + mean_{j, l in C} G_jl: points of
thousands of channels that are never built, as log-binned descriptors, cluster as if they were.
"""

import numpy as np

_STEPS = 100


def gram_kmeans(
    gram: np.ndarray, clusters: int, *, seed: int = 0, restarts: int = 10
) -> np.ndarray:
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
    return _lloyd(gram, np.stack([_seeds(gram, clusters, rng) for _ in range(restarts)]))


def _seeds(gram: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Points (K,), each drawn with probability proportional to its squared distance to those
    before it; the first again where no other is left.
    """
    own = np.diag(gram)
    least = 1e-5 * float(own.max())
    chosen = [int(rng.integers(len(gram)))]
    nearest = np.full(len(gram), np.inf, dtype=np.float32)
    while len(chosen) < clusters:
        nearest = np.minimum(nearest, own + own[chosen[-1]] - 2 * gram[chosen[-1]])
        weights = np.where(nearest > least, nearest, 0).cumsum(dtype=np.float64)
        if weights[-1] == 0:
            return np.array(chosen + chosen[:1] * (clusters - len(chosen)))
        chosen.append(int(np.searchsorted(weights, rng.random() * weights[-1], side="right")))
    return np.array(chosen)


def _lloyd(gram: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Group numbers (P,) of the best of all runs, which step together: seeds (R, K)."""
    own = np.diag(gram)[:, None, None]
    runs, clusters = seeds.shape
    distances = own + np.diag(gram)[seeds] - 2 * gram[:, seeds]  # (P, R, K)
    labels = distances.argmin(axis=2)
    for _ in range(_STEPS):
        members = (labels[..., None] == np.arange(clusters)).astype(np.float32)
        sizes = members.sum(axis=0)
        members /= np.maximum(sizes, 1)
        cross = (gram @ members.reshape(len(gram), -1)).reshape(len(gram), runs, clusters)
        distances = own - 2 * cross + (members * cross).sum(axis=0)
        distances[:, sizes == 0] = np.inf
        moved = distances.argmin(axis=2)
        if (moved == labels).all():
            break
        labels = moved
    best = int(distances.min(axis=2).sum(axis=0).argmin())
    return np.asarray(np.unique(labels[:, best], return_inverse=True)[1])
