"""k-means: hand-computed centres, the elbow's rule, and laws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.kmeans import (
    assign,
    elbow_kmeans,
    kmeans,
    mean_squared_distance,
    squared_distances,
)
from tasks.ops.patch_grid import unit


def directions(groups: int, each: int, spread: float, seed: int = 0) -> np.ndarray:
    """Unit descriptors around `groups` orthogonal axes of 16 dimensions."""
    rng = np.random.default_rng(seed)
    axes = np.repeat(np.eye(16)[:groups], each, axis=0)
    return unit(axes + spread * rng.normal(size=axes.shape))


def test_two_pairs_of_points_have_their_midpoints_as_centres() -> None:
    points = np.array([[1, 0], [0.8, 0.6], [-1, 0], [-0.8, -0.6]])
    centers = kmeans(points, 2)
    assert_allclose(centers[np.argsort(-centers[:, 0])], [[0.9, 0.3], [-0.9, -0.3]], atol=1e-6)
    assert mean_squared_distance(points.astype(np.float32), centers) == pytest.approx(0.1)


def test_squared_distances_equal_the_literal_sum() -> None:
    rng = np.random.default_rng(1)
    points, centers = rng.normal(size=(3, 4, 5)), rng.normal(size=(2, 5))
    literal = ((points[:, :, None, :] - centers) ** 2).sum(axis=-1)
    assert_allclose(squared_distances(points, centers), literal, rtol=1e-5)
    assert_array_equal(assign(points, centers), literal.argmin(axis=-1))


@pytest.mark.parametrize("groups", [2, 3, 5])
def test_the_elbow_stops_one_after_the_true_number_of_groups(groups: int) -> None:
    found = elbow_kmeans(directions(groups, 60, 0.05), elbow=0.9, sample_step=1, restarts=3)
    # The first k that hardly helps is kept, as in the paper: one more than there are groups.
    assert len(found.centers) == groups + 1
    ratios = np.divide(found.curve[1:], found.curve[:-1])
    assert (ratios[:-1] <= 0.9).all()
    assert ratios[-1] > 0.9


def test_the_curve_is_that_of_the_returned_centres_over_all_descriptors() -> None:
    points = directions(4, 50, 0.2)
    found = elbow_kmeans(points, sample_step=7, max_clusters=3)
    assert len(found.centers) == 3
    assert found.curve[-1] == pytest.approx(mean_squared_distance(points, found.centers))
    assert found.curve[0] == pytest.approx(
        mean_squared_distance(points, points[::7].mean(axis=0, keepdims=True)), rel=1e-5
    )


def test_equal_arguments_give_equal_centres_in_float32() -> None:
    points = directions(3, 40, 0.3).astype(np.float16)
    first, second = elbow_kmeans(points, sample_step=2), elbow_kmeans(points, sample_step=2)
    assert_array_equal(first.centers, second.centers)
    assert first.centers.dtype == np.float32


@pytest.mark.parametrize("count", [1, 2, 30])
def test_identical_descriptors_are_one_cluster(count: int) -> None:
    found = elbow_kmeans(np.tile(unit(np.ones(8)), (count, 1)), sample_step=1)
    assert found.centers.shape == (1, 8)
    assert found.curve == (pytest.approx(0, abs=1e-6),)


def test_more_clusters_than_distinct_points_give_the_points() -> None:
    points = np.repeat(np.eye(3), 5, axis=0)
    assert kmeans(points, 10).shape == (3, 3)


@pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 3, 4)])
def test_anything_but_a_filled_matrix_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(P, D\) with P >= 1; got"):
        elbow_kmeans(np.zeros(shape))


def test_nan_is_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match="finite descriptors"):
        kmeans(np.array([[1.0, np.nan]]), 1)
