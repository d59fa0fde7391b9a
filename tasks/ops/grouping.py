"""Descriptors of whole objects sorted into groups, as many as there are."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import silhouette_score

from tasks.ops.patch_grid import unit

MOST_COMPARED = 3000  # objects of which all pairs are compared; the rest joins the nearest group
APART = 0.05  # silhouette below which the best groups are no better than one


def group_alike(descriptors: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Average linkage under cosine distance, cut where the mean silhouette is largest.

    Rousseeuw 1987 for the silhouette. On objects found in PASCAL07-6x2 it names 6 to 8 groups,
    where the elbow of k-means goes on to the most that are allowed.

    Args:
        descriptors: (P, D), one an object. most: groups, at most.

    Returns:
        labels (P,) int from 0, and nearness (P,) float32: the cosine to the group's mean. What
        all objects share is subtracted first: they differ in what is about their mean.
    """
    points = np.asarray(descriptors, dtype=np.float32)
    points = unit(points - points.mean(axis=0))
    chosen = np.linspace(0, len(points) - 1, min(len(points), MOST_COMPARED)).astype(int)
    some = _cut(points[chosen], most)
    centres = unit(np.stack([points[chosen[some == k]].mean(axis=0) for k in np.unique(some)]))
    cosines = points @ centres.T
    labels = cosines.argmax(axis=1)
    labels[chosen] = some
    return labels, cosines[np.arange(len(points)), labels]


def _cut(points: np.ndarray, most: int) -> np.ndarray:
    """Labels (P,) from 0."""
    together = np.zeros(len(points), dtype=np.int64)
    distances = np.clip(1 - points @ points.T, 0, 2).astype(np.float64)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0)
    if len(points) < 3 or most < 2:
        return together
    tree = linkage(squareform(distances, checks=False), method="average")
    best, found = APART, together
    for count in range(2, min(most, len(points) - 1) + 1):
        labels = fcluster(tree, count, criterion="maxclust") - 1
        if len(np.unique(labels)) < 2:
            continue
        score = silhouette_score(distances, labels, metric="precomputed")
        if score > best:
            best, found = score, labels.astype(np.int64)
    return found
