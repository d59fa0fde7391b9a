"""Axes that keep inner products: of a low rank exactly, of maps as of their rows together."""

import numpy as np
from numpy.testing import assert_allclose

from tasks.ops.leading_axes import axes_of_maps, principal_axes
from tasks.ops.patch_grid import unit


def test_principal_axes_keep_inner_products_of_a_low_rank_sample() -> None:
    rng = np.random.default_rng(6)
    points = unit(rng.normal(size=(50, 4)) @ rng.normal(size=(4, 20)))
    axes = principal_axes(points, 4)
    assert_allclose(axes.T @ axes, np.eye(4), atol=1e-5)
    assert_allclose((points @ axes) @ (points @ axes).T, points @ points.T, atol=1e-5)


def test_maps_are_fitted_by_evenly_spaced_patches_of_each() -> None:
    rng = np.random.default_rng(7)
    maps = [rng.normal(size=(rows, 50, 3)) for rows in (40, 80)]
    # 6,000 patches of two maps: all 2,000 of the first, 4,000 of the second by ones as well.
    expected = principal_axes(np.concatenate([one.reshape(-1, 3) for one in maps]), 2)
    assert_allclose(axes_of_maps(iter(maps), 2, 2), expected, atol=1e-6)
    large = rng.normal(size=(120, 50, 3))
    every = np.concatenate([one.reshape(-1, 3)[::step] for one, step in ((maps[0], 1), (large, 2))])
    assert_allclose(axes_of_maps([maps[0], large], 2, 2), principal_axes(every, 2), atol=1e-6)
