"""k-means on inner products is k-means on the points."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.cluster import KMeans

from tasks.ops.gram_kmeans import gram_kmeans


def inertia(points: np.ndarray, labels: np.ndarray) -> float:
    return sum(
        float(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum())
        for k in np.unique(labels)
    )


def test_groups_apart_are_found() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(3 * np.eye(4), 5, axis=0) + rng.normal(scale=0.05, size=(20, 4))
    labels = gram_kmeans(points @ points.T, 4)
    assert_array_equal(labels.reshape(4, 5), np.repeat(labels[::5, None], 5, axis=1))
    assert len(set(labels.tolist())) == 4


def test_as_good_as_scikit_learn_and_a_fixed_point_of_lloyd() -> None:
    points = np.random.default_rng(1).normal(size=(120, 6))
    labels = gram_kmeans(points @ points.T, 8, seed=3)
    known = KMeans(8, n_init=4, random_state=0).fit(points)
    assert inertia(points, labels) <= 1.03 * known.inertia_
    centres = np.stack([points[labels == k].mean(axis=0) for k in range(8)])
    distances = ((points[:, None] - centres) ** 2).sum(axis=-1)
    assert_array_equal(distances.argmin(axis=1), labels)
    assert_array_equal(labels, gram_kmeans(points @ points.T, 8, seed=3))


def test_no_more_groups_than_points_that_differ() -> None:
    points = np.repeat(np.eye(2), 3, axis=0)
    assert_array_equal(np.unique(gram_kmeans(points @ points.T, 5)), [0, 1])
    assert_array_equal(gram_kmeans(np.ones((3, 3)), 2), [0, 0, 0])
    assert_array_equal(gram_kmeans(np.zeros((3, 3)), 2), [0, 0, 0])


def test_what_is_no_matrix_of_products_is_refused() -> None:
    for gram, clusters in ((np.ones((3, 2)), 2), (np.ones((0, 0)), 2), (np.eye(3), 0)):
        with pytest.raises(ValueError, match="expected inner products"):
            gram_kmeans(gram, clusters)
