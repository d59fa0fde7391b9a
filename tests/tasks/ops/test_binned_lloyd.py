"""Lloyd steps on log-bins that are never built equal those on bins that are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.binned_lloyd import binned_distances, binned_points, binned_sums
from tasks.ops.kmeans import squared_distances
from tasks.ops.lloyd import partial_sums
from tasks.ops.log_bin import log_bin
from tasks.ops.patch_grid import unit


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize(
    ("rows", "cols", "hierarchy"), [(5, 7, 1), (8, 6, 2), (3, 11, 3), (1, 1, 2)]
)
def test_sums_and_distances_equal_those_of_built_bins(
    rows: int, cols: int, hierarchy: int, spherical: bool
) -> None:
    rng = np.random.default_rng(rows)
    maps = rng.normal(size=(rows, cols, 4)).astype(np.float32)
    built = log_bin(maps, hierarchy).reshape(rows * cols, -1)
    points = unit(built) if spherical else built
    centers = rng.normal(size=(3, points.shape[1])).astype(np.float32)
    found = binned_distances(maps, centers, hierarchy, spherical=spherical)
    assert_allclose(found.reshape(-1, 3), squared_distances(points, centers), rtol=1e-4, atol=1e-4)
    sums = binned_sums(maps, centers, hierarchy, spherical=spherical)
    expected = partial_sums(points, centers)
    assert_allclose(sums.sums, expected.sums, atol=1e-4)
    assert_array_equal(sums.counts, expected.counts)
    assert sums.inertia == pytest.approx(expected.inertia, rel=1e-5)
    assert_allclose(sums.farthest, expected.farthest, atol=1e-5)
    some = np.arange(0, rows * cols, 2)
    assert_allclose(
        binned_points(maps, some, hierarchy, spherical=spherical), points[some], atol=1e-6
    )
