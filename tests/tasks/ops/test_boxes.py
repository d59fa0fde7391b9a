"""Boxes and components, by hand."""

import numpy as np
import pytest

from tasks.ops.boxes import (
    component_at,
    components,
    grid_box_xyxy,
    iou_xyxy,
    mask_iou,
    pixel_box_xyxy,
)
from tasks.ops.patch_grid import plan_grid

MASK = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 1]], dtype=bool)


def test_components_are_4_connected_and_largest_first() -> None:
    found = components(MASK)
    assert found.sum(axis=(1, 2)).tolist() == [4, 2]  # the diagonal does not join
    np.testing.assert_array_equal(component_at(MASK, 1), found[1])
    np.testing.assert_array_equal(components(MASK, 1), found[:1])
    with pytest.raises(ValueError, match=r"seed 2 at \(row, col\) \(0, 2\) is not in the mask"):
        component_at(MASK, 2)


def test_a_box_of_whole_patches_is_cut_at_the_image() -> None:
    # 50 x 40 native with patch 16: canvas 64 x 48, 3 rows x 4 cols.
    grid = plan_grid(50, 40, patch=16, stride=(16, 16), size=0, fit="native")
    one = np.zeros((3, 4), dtype=bool)
    one[1, 1:3] = True
    assert grid_box_xyxy(one, grid).tolist() == [16, 16, 48, 32]
    assert grid_box_xyxy(np.ones((3, 4), bool), grid).tolist() == [0, 0, 50, 40]


def test_overlapping_patches_own_a_cell_of_one_stride_in_original_pixels() -> None:
    # 100 x 60 resized to 56 x 28 (short side 28 of patch 14, stride 7): centres at 7, 14, ...
    grid = plan_grid(100, 50, patch=14, stride=(7, 7), size=28)
    one = np.zeros(grid.shape, dtype=bool)
    one[1, 2] = True  # centre (21, 14) on the canvas, cell 17.5..24.5 x 10.5..17.5
    expected = np.array([17.5, 10.5, 24.5, 17.5]) * np.array([100 / 56, 50 / 28] * 2)
    np.testing.assert_allclose(grid_box_xyxy(one, grid), expected)


def test_pixel_boxes_exclude_their_end() -> None:
    assert pixel_box_xyxy(MASK).tolist() == [0, 0, 4, 3]
    with pytest.raises(ValueError, match=r"an empty mask of shape \(3, 4\) has no box"):
        pixel_box_xyxy(np.zeros((3, 4), bool))


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 0, 5]])
    b = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]])
    np.testing.assert_allclose(iou_xyxy(a, b), [[1 / 7, 1, 0], [0, 0, 0]])
    assert mask_iou(MASK, ~MASK) == 0
    assert mask_iou(np.zeros(3, bool), np.zeros(3, bool)) == 1
