"""Tiles of labels, refinement by colours, decisions, shifted passes."""

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.edge_refine import follow_colours, guided_filter
from tasks.ops.kinds import FacetRequest
from tasks.ops.label_memory import LabelMemory, Remembered
from tasks.ops.label_tiles import TileLayout, cut_tiles, lay_tiles, reduce_labels
from tasks.ops.video_masks import (
    decide_by_area,
    decide_by_range,
    one_hot,
    refine_labels,
    separate,
    to_frame,
)
from tasks.ops.vit import extract_facets
from tasks.ops.vit_shifted import extract_shifted


def soft(*planes: list[list[float]]) -> np.ndarray:
    """Object planes with the background that they leave in front."""
    objects = np.array(planes, dtype=np.float32)
    return np.concatenate([1 - objects.sum(axis=0, keepdims=True), objects])


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 5),
    cols=st.integers(1, 6),
    down=st.integers(1, 5),
    right=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_tiles_laid_again_give_the_raster(
    rows: int, cols: int, down: int, right: int, seed: int
) -> None:
    layout = TileLayout(rows, cols, (down, right))
    raster = torch.rand((2, *layout.raster), generator=torch.Generator().manual_seed(seed))
    tiles = cut_tiles(raster, layout)
    assert tiles.shape == (rows, cols, 2 * layout.tile[0] * layout.tile[1])
    torch.testing.assert_close(lay_tiles(tiles, layout), raster)


def test_a_tile_holds_its_step_and_half_a_step_around() -> None:
    layout = TileLayout(2, 2, (2, 2))
    raster = torch.arange(16.0).reshape(1, 4, 4)
    # The first patch owns 0 1 / 4 5; one sample around, the border repeated.
    expected = [[0, 0, 1, 2], [0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]]
    assert cut_tiles(raster, layout)[0, 0].reshape(4, 4).tolist() == expected


def test_labels_are_reduced_by_area_or_by_the_nearest_pixel() -> None:
    labels = np.zeros((4, 4), np.uint8)
    labels[:, 1:] = 7
    planes = one_hot(labels, (7,))
    fine = reduce_labels(planes, TileLayout(1, 1, (2, 2)))
    assert_allclose(fine[1], [[0.5, 1], [0.5, 1]])
    assert_allclose(fine.sum(axis=0), 1)
    plain = reduce_labels(planes, TileLayout(2, 2, (1, 1)))
    assert_array_equal(plain[1], [[0, 1], [0, 1]])


def test_one_hot_leaves_other_numbers_to_the_background() -> None:
    labels = np.array([[0, 3], [5, 9]])
    planes = one_hot(labels, (3, 5))
    assert planes.transpose(2, 0, 1).tolist() == [
        [[1, 0], [0, 1]],
        [[0, 1], [0, 0]],
        [[0, 0], [1, 0]],
    ]


def test_regions_that_do_not_touch_are_objects() -> None:
    mask = np.zeros((8, 20), bool)
    mask[1:5, 12:18] = True  # 24 pixels
    mask[1:5, 2:6] = True  # 16, and one more that touches at a corner
    mask[5, 6] = True
    mask[7, 19] = True  # a speck, nearest to the first
    two = separate(mask, 5)
    assert (np.count_nonzero(two == 1), np.count_nonzero(two == 2)) == (25, 17)
    assert (two[7, 19], two[5, 6]) == (1, 2)
    assert set(np.unique(separate(mask, 1))) == {0, 1}
    np.testing.assert_array_equal(separate(mask, 1) > 0, mask)
    assert separate(mask, 5, smallest=0.01).max() == 3
    assert not separate(np.zeros((3, 3), bool), 2).any()


def test_the_area_of_soft_labels_is_kept() -> None:
    # Sum 2.0: the two highest pixels, although both lie below one half.
    plane = [[0.45, 0.45, 0.3, 0.3, 0.25, 0.25, 0.0, 0.1]]
    assert decide_by_area(soft(plane), (4,)).tolist() == [[4, 4, 0, 0, 0, 0, 0, 0]]
    # Above one half always belongs to the object, haze below 0.2 never.
    assert decide_by_area(soft([[0.9, 0.6, 0.51, 0.1]]), (1,)).tolist() == [[1, 1, 1, 0]]
    assert decide_by_area(soft([[0.1, 0.1]]), (1,)).tolist() == [[0, 0]]


def test_objects_compete() -> None:
    first, second = [[0.8, 0.6, 0.0]], [[0.1, 0.4, 0.9]]
    assert decide_by_area(soft(first, second), (2, 9)).tolist() == [[2, 2, 9]]


def test_the_protocols_decision_stretches_each_label() -> None:
    # Object 0 to 0.4 becomes 0 to 1; background 0.6 to 1 as well: ties go to the background.
    plane = [[0.0, 0.1, 0.3, 0.4]]
    assert decide_by_range(soft(plane), (5,)).tolist() == [[0, 0, 5, 5]]
    assert decide_by_range(soft([[0.0, 0.0]]), (5,)).tolist() == [[0, 0]]


def test_upsampling_keeps_a_constant() -> None:
    assert_allclose(to_frame(np.full((2, 3, 4), 0.25, np.float32), 13, 9), 0.25)


def test_guided_filter_by_its_equations() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((6, 7, 3)).astype(np.float32)
    mask = rng.random((6, 7)).astype(np.float32)
    radius, epsilon = 1, 1e-2
    padded = np.pad(np.dstack([image, mask]), ((2, 2), (2, 2), (0, 0)), mode="symmetric")
    slopes, offsets = np.zeros((8, 9, 3)), np.zeros((8, 9))
    for y in range(8):
        for x in range(9):
            window = padded[y : y + 3, x : x + 3].reshape(9, 4).astype(float)
            colours, values = window[:, :3], window[:, 3]
            centred = colours - colours.mean(axis=0)
            sigma = centred.T @ centred / 9 + epsilon * np.eye(3)
            slopes[y, x] = np.linalg.solve(sigma, centred.T @ values / 9)
            offsets[y, x] = values.mean() - slopes[y, x] @ colours.mean(axis=0)
    found = guided_filter(image, mask, radius=radius, epsilon=epsilon)
    for y in range(1, 5):
        for x in range(1, 6):
            a = slopes[y : y + 3, x : x + 3].mean(axis=(0, 1))
            b = offsets[y : y + 3, x : x + 3].mean()
            assert found[y, x] == pytest.approx(np.clip(a @ image[y, x] + b, 0, 1), abs=1e-4)


def test_colours_move_a_border_to_the_edge() -> None:
    image = np.zeros((20, 20, 3), np.float32)
    image[:, 10:] = 0.8
    mask = np.tile(np.linspace(0, 1, 20, dtype=np.float32), (20, 1)) ** 2  # border at 14
    assert (mask[10] > 0.5).sum() == 6
    moved = [follow_colours(image, mask, radius=6, strength=s) for s in (0.2, 0.5, 1.0)]
    assert [int((m[10] > 0.5).sum()) for m in moved] == [8, 10, 10]
    assert_allclose(
        follow_colours(image, mask, radius=6, strength=0), mask.clip(1e-3, 0.999), atol=1e-5
    )


def test_refined_labels_still_share_every_pixel() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (68, 90, 3), dtype=np.uint8)
    planes = np.zeros((2, 68, 90), np.float32)
    planes[0, 10:30, 10:40] = 0.9
    found = refine_labels(image, soft(*planes), "colour")
    assert found.shape == (3, 68, 90)
    assert found.min() >= 0
    assert found[0, 60, 80] == 1
    assert not found[2].any()
    assert refine_labels(image, soft(*planes), "none") is not None


def test_shifted_passes_fill_the_grid_of_a_strided_one() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0).eval()
    image = torch.randn(1, 3, 64, 80)
    request = FacetRequest(2, "token")
    found = extract_shifted(model, image, [request], patch=16, stride=(16, 8))[request]
    strided = extract_facets(model, image, [request], stride=(16, 8)).facets[request]
    assert found.shape == strided.shape == (1, 4, 9, 64)
    whole = extract_facets(model, image, [request], stride=(16, 16)).facets[request]
    torch.testing.assert_close(found[:, :, ::2], whole)
    moved = extract_facets(model, image[..., 8:72], [request], stride=(16, 16)).facets[request]
    torch.testing.assert_close(found[:, :, 1::2], moved)
    with pytest.raises(ValueError, match="stride 5x8 does not divide"):
        extract_shifted(model, image, [request], patch=16, stride=(5, 8))


def test_a_correction_replaces_what_was_guessed() -> None:
    memory = LabelMemory(recent=2)
    frames = [Remembered(i, torch.zeros(1), torch.zeros(1)) for i in range(6)]
    memory.add(frames[0], given=True)
    for frame in frames[1:4]:
        memory.add(frame)
    assert [f.number for f in memory.frames] == [0, 2, 3]
    memory.add(frames[4], given=True)
    memory.add(frames[5])
    assert [f.number for f in memory.frames] == [0, 4, 5]


def test_many_given_masks_take_bounded_memory() -> None:
    memory = LabelMemory(recent=2)
    for number in range(20):
        memory.add(Remembered(number, torch.zeros(1), torch.zeros(1)), given=True)
    assert [f.number for f in memory.frames] == [0, *range(13, 20)]
