"""Pictures of arrays: exact colours where they are known, laws elsewhere."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.draw import (
    draw_boxes,
    fit_colour_basis,
    label_overlay,
    label_picture,
    mask_overlay,
    palette,
    pca_picture,
    scalar_picture,
)


def test_palette_colours_are_distinct_and_do_not_depend_on_the_count() -> None:
    colours = palette(20).astype(int)
    assert_array_equal(palette(5), colours[:5])
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert distance[np.triu_indices(20, 1)].min() > 20
    assert palette(0).shape == (0, 3)


def test_scalar_picture_ends_at_the_maps_ends() -> None:
    picture = scalar_picture(np.array([[0.0, 1.0, -3.0, 9.0, np.nan]]), name="gray")
    assert_array_equal(picture[0, :, 0], [0, 255, 0, 255, 128])
    shifted = scalar_picture(np.array([[2.0, 4.0]]), low=2, high=4, name="gray")
    assert_array_equal(shifted[0, :, 0], [0, 255])


def test_label_picture() -> None:
    colours = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    picture = label_picture(np.array([[0, 1, -1]]), colours)
    assert_array_equal(picture[0], [[1, 2, 3], [4, 5, 6], [0, 0, 0]])
    with pytest.raises(ValueError, match="labels below 2, one a colour; got 2"):
        label_picture(np.array([[2]]), colours)


def test_the_basis_finds_the_foregrounds_axes_and_not_the_backgrounds() -> None:
    """Foreground varies along channels 0 to 2, background far more along channel 5."""
    rng = np.random.default_rng(3)
    front = np.zeros((300, 6))
    front[:, :3] = rng.normal(size=(300, 3)) * (5, 3, 1)
    back = np.zeros((700, 6))
    back[:, 5] = rng.normal(size=700) * 50
    descriptors = np.concatenate([front, back])
    basis = fit_colour_basis(descriptors, np.arange(1000) < 300)
    assert_allclose(np.abs(basis.axes[:, :3]), np.eye(3), atol=0.15)
    assert_allclose(basis.axes @ basis.axes.T, np.eye(3), atol=1e-5)
    assert_allclose(basis.axes[:, 5], 0, atol=1e-6)


def test_the_basis_does_not_depend_on_the_sign_or_order_of_the_data() -> None:
    rng = np.random.default_rng(4)
    descriptors = rng.gamma(1.0, size=(400, 8)) * np.arange(1, 9)
    first = fit_colour_basis(descriptors)
    second = fit_colour_basis(descriptors[::-1])
    assert_allclose(first.axes, second.axes, atol=1e-4)
    grid = descriptors[:100].reshape(10, 10, 8)
    assert np.abs(pca_picture(grid, first).astype(int) - pca_picture(grid, second)).max() <= 1


def test_equal_descriptors_get_equal_colours_in_every_picture_of_the_set() -> None:
    rng = np.random.default_rng(5)
    shared = rng.normal(size=(4, 8))
    first = np.concatenate([shared, rng.normal(size=(4, 8))]).reshape(2, 4, 8)
    second = np.concatenate([rng.normal(size=(8, 8)) * 2, shared]).reshape(3, 4, 8)
    basis = fit_colour_basis(np.concatenate([first.reshape(-1, 8), second.reshape(-1, 8)]))
    assert_array_equal(pca_picture(first, basis)[0], pca_picture(second, basis)[2])


def test_pca_picture_dims_the_background_and_survives_a_constant_set() -> None:
    flat = np.ones((2, 2, 5))
    basis = fit_colour_basis(flat.reshape(-1, 5))
    assert len(np.unique(pca_picture(flat, basis).reshape(-1, 3), axis=0)) == 1
    rng = np.random.default_rng(6)
    grid = rng.normal(size=(4, 4, 5))
    basis = fit_colour_basis(grid.reshape(-1, 5))
    bright, dim = pca_picture(grid, basis), pca_picture(grid, basis, np.zeros((4, 4)))
    assert_allclose(dim, bright * 0.25, atol=0.51)
    with pytest.raises(ValueError, match="at least 4 descriptors to find 3 axes, got 3"):
        fit_colour_basis(np.ones((3, 5)))


def test_mask_overlay_tints_inside_and_dims_outside() -> None:
    image = np.full((40, 40, 3), 100, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    drawn = mask_overlay(image, mask, colour=(200, 0, 100), opacity=0.5)
    assert_array_equal(drawn[20, 20], [150, 50, 100])
    assert_array_equal(drawn[2, 2], [60, 60, 60])
    assert_allclose(drawn[20, 10], [200, 0, 100], atol=12)  # the outline, antialiased
    with pytest.raises(ValueError, match=r"size \(40, 40\), got \(3, 3\)"):
        mask_overlay(image, np.ones((3, 3), bool))


def test_label_overlay_leaves_the_background_untinted() -> None:
    image = np.full((30, 30, 3), 100, np.uint8)
    labels = np.zeros((30, 30), np.uint8)
    labels[5:25, 5:15], labels[5:25, 15:25] = 1, 2
    drawn = label_overlay(image, labels, np.array([[200, 0, 0], [0, 0, 200]], np.uint8))
    assert_array_equal(drawn[15, 10], [160, 40, 40])
    assert_array_equal(drawn[15, 20], [40, 40, 160])
    assert_array_equal(drawn[1, 1], [60, 60, 60])


def test_boxes_are_drawn_on_their_own_border_pixels() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    boxes = np.array([[4.0, 5.0, 21.0, 15.0]])
    drawn = draw_boxes(image, boxes, np.array([[9, 8, 7]], np.uint8))
    rows, cols = np.nonzero(drawn[..., 0])
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (5, 14, 4, 20)
