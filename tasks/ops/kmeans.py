"""k-means over descriptors, and how many clusters there are.

Descriptors are expected on the unit sphere (`patch_grid.unit`), where the squared Euclidean
distance to a point is 2 - 2 cos: scikit-learn's Euclidean k-means then groups by angle.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

_ROWS = 65536  # of a distance block: bounds memory whatever the number of descriptors


@dataclass(frozen=True, slots=True)
class Clustering:
    """Centres, and the curve that chose how many.

    centers: (K, D) float32, means of their members (inside the unit sphere).
    curve: mean squared distance of all descriptors to their nearest centre, for 1, 2, ...
        clusters in turn; the last is that of `centers`.
    """

    centers: np.ndarray
    curve: tuple[float, ...]


def elbow_kmeans(
    descriptors: np.ndarray,
    *,
    max_clusters: int = 15,
    elbow: float = 0.975,
    sample_step: int = 100,
    seed: int = 0,
    restarts: int = 10,
) -> Clustering:
    """Amir et al. 2021, section 4.1: add clusters until another one hardly helps.

    k = 1, 2, ...; the first k whose mean squared distance exceeds `elbow` times that of
    k - 1 is taken (or `max_clusters`). Trained on a sample, measured on everything.

    Args:
        descriptors: (P, D), unit length, P >= 1; float32 or smaller.
        elbow: in (0, 1]; smaller stops earlier.
        sample_step: every n-th descriptor is trained on.
        seed, restarts: of scikit-learn's KMeans. Equal arguments give equal results.

    Raises:
        ValueError: no descriptors, not a matrix, or values that are not finite.
    """
    points = _checked(descriptors)
    sample = np.ascontiguousarray(points[:: max(1, sample_step)])
    distinct = _distinct(sample, max_clusters)
    curve: list[float] = []
    for clusters in range(1, min(max_clusters, distinct) + 1):
        centers = kmeans(sample, clusters, seed=seed, restarts=restarts)
        curve.append(mean_squared_distance(points, centers))
        if clusters > 1 and curve[-1] > elbow * curve[-2]:
            break
    return Clustering(centers, tuple(curve))


def kmeans(
    descriptors: np.ndarray, clusters: int, *, seed: int = 0, restarts: int = 10
) -> np.ndarray:
    """Centres (K, D) float32 of scikit-learn's k-means; K is at most the number of descriptors."""
    points = _checked(descriptors)
    model = KMeans(
        n_clusters=min(clusters, _distinct(points, clusters)),
        n_init=restarts,
        random_state=seed,
        algorithm="lloyd",
    )
    return np.asarray(model.fit(points).cluster_centers_, dtype=np.float32)


def squared_distances(descriptors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (..., K) float32 of descriptors (..., D) to centers (K, D)."""
    points = np.asarray(descriptors, dtype=np.float32)
    centers = np.asarray(centers, dtype=np.float32)
    cross = points @ centers.T
    own = np.einsum("...d,...d->...", points, points)[..., None]
    return np.maximum(own - 2 * cross + np.einsum("kd,kd->k", centers, centers), 0)


def assign(descriptors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Index of the nearest centre, int32, of descriptors (..., D); shape (...)."""
    points = np.asarray(descriptors)
    flat = points.reshape(-1, points.shape[-1])
    labels = [squared_distances(block, centers).argmin(axis=1) for block in _blocks(flat)]
    return np.concatenate(labels).astype(np.int32).reshape(points.shape[:-1])


def mean_squared_distance(descriptors: np.ndarray, centers: np.ndarray) -> float:
    """Mean over descriptors (P, D) of the squared distance to the nearest centre."""
    total = sum(
        float(squared_distances(block, centers).min(axis=1).sum(dtype=np.float64))
        for block in _blocks(descriptors)
    )
    return total / len(descriptors)


def _blocks(points: np.ndarray) -> list[np.ndarray]:
    return [points[i : i + _ROWS] for i in range(0, len(points), _ROWS)] or [points]


def _distinct(points: np.ndarray, wanted: int) -> int:
    """Number of different points, counted no further than `wanted`; scikit-learn warns beyond."""
    found = points[:1]
    for _ in range(1, wanted):
        differs = (squared_distances(points, found) > 1e-6).all(axis=1)
        if not differs.any():
            break
        found = np.concatenate([found, points[differs.argmax()][None]])
    return len(found)


def _checked(descriptors: np.ndarray) -> np.ndarray:
    points = np.asarray(descriptors)
    if points.ndim != 2 or len(points) == 0:
        raise ValueError(
            f"k-means expects descriptors of shape (P, D) with P >= 1; got {points.shape}. "
            "Flatten the patch grid, and drop images without patches"
        )
    # scikit-learn would turn float16 into float64.
    points = points.astype(np.float32, copy=False)
    if not np.isfinite(points).all():
        raise ValueError("k-means expects finite descriptors; got NaN or infinity: see the weights")
    return points
