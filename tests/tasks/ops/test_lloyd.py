"""Lloyd steps from partial sums: any split gives the whole, and scikit-learn agrees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans, kmeans_plusplus

from tasks.ops.lloyd import PartialSums, partial_sums, reduce_sums, update_centers
from tasks.ops.patch_grid import unit

RNG = np.random.default_rng(0)
POINTS = unit(RNG.normal(size=(300, 8)) + 2 * np.eye(8)[RNG.integers(0, 4, 300)])


def steps(blocks: list[np.ndarray], centers: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    inertia = np.inf
    for _ in range(count):
        total = reduce_sums(partial_sums(block, centers) for block in blocks)
        centers, inertia = update_centers(total, centers, spherical=False), total.inertia
    return centers, inertia


def test_sums_by_hand() -> None:
    points = np.array([[0.0, 0], [1, 0], [10, 0]])
    found = partial_sums(points, np.array([[0.0, 0], [9, 0]]))
    assert_allclose(found.sums, [[1, 0], [10, 0]])
    assert_array_equal(found.counts, [2, 1])
    assert found.inertia == pytest.approx(2)
    assert found.distance == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 299), max_size=5), st.integers(1, 64))
def test_any_split_equals_the_whole(cuts: list[int], rows: int) -> None:
    centers = POINTS[:4]
    whole = partial_sums(POINTS, centers)
    blocks = [b for b in np.split(POINTS, sorted(set(cuts))) if len(b)]
    total = reduce_sums(partial_sums(block, centers, rows=rows) for block in blocks)
    assert_allclose(total.sums, whole.sums, rtol=1e-6)
    assert_array_equal(total.counts, whole.counts)
    assert total.inertia == pytest.approx(whole.inertia, rel=1e-6)
    assert total.distance == whole.distance


def test_lloyd_steps_equal_scikit_learns_from_the_same_seeds() -> None:
    seeds, _ = kmeans_plusplus(POINTS[::3], 4, random_state=1)
    model = KMeans(4, init=seeds, n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(POINTS)
    centers, inertia = steps(np.array_split(POINTS, 7), seeds, 100)
    assert_allclose(centers, model.cluster_centers_, atol=1e-5)
    assert inertia == pytest.approx(model.inertia_, rel=1e-5)


def test_inertia_never_grows() -> None:
    centers, _ = kmeans_plusplus(POINTS, 5, random_state=0)
    seen = [steps([POINTS], centers, count)[1] for count in range(1, 12)]
    assert (np.diff(seen) <= 1e-6).all()


def test_an_empty_cluster_moves_to_the_farthest_descriptor() -> None:
    points = np.array([[0.0, 0], [0, 1], [0, 8]], dtype=np.float32)
    centers = np.array([[0.0, 0], [90, 90]], dtype=np.float32)
    moved = update_centers(partial_sums(points, centers), centers, spherical=False)
    assert_allclose(moved, [[0, 3], [0, 8]])


def test_spherical_centres_have_unit_length() -> None:
    total = PartialSums(np.array([[3.0, 4.0]]), np.array([2]), 0.0, np.zeros(2), 0.0)
    assert_allclose(update_centers(total, np.zeros((1, 2))), [[0.6, 0.8]])


def test_nothing_to_reduce_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        reduce_sums([])
