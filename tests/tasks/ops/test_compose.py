"""Composed pictures: what is pasted is there, and its mask is exact."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tasks.ops.compose import CutOut, cut_out, paste, relight

RED = (200, 10, 20)


def square(side: int = 8, colour: tuple[int, int, int] = RED) -> CutOut:
    image = np.empty((side, side, 3), np.uint8)
    image[:] = colour
    return cut_out(image, np.ones((side, side), bool))


def test_cut_out_crops_to_the_box_of_the_mask() -> None:
    image = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
    mask = np.zeros((6, 7), bool)
    mask[2, 3:6] = mask[4, 4] = True
    thing = cut_out(image, mask)
    assert_array_equal(thing.image, image[2:5, 3:6])
    assert_array_equal(thing.coverage, [[1, 1, 1], [0, 0, 0], [0, 1, 0]])


def test_hard_paste_at_its_own_scale_copies_pixels_exactly() -> None:
    background = np.full((20, 30, 3), 90, np.uint8)
    pasted = paste(background, square(), centre=(14, 9), height=8, softness=0)
    truth = np.zeros((20, 30), bool)
    truth[5:13, 10:18] = True  # centre 14 -> columns 10 to 17, centre 9 -> rows 5 to 12
    assert_array_equal(pasted.mask, truth)
    assert_array_equal(pasted.image[truth], np.broadcast_to(RED, (64, 3)))
    assert_array_equal(pasted.image[~truth], np.full((600 - 64, 3), 90))


def test_the_flip_mirrors_and_four_quarter_turns_restore() -> None:
    image = np.zeros((9, 9, 3), np.uint8)
    image[:, :4] = 250
    thing = cut_out(image, np.ones((9, 9), bool))
    background = np.zeros((9, 9, 3), np.uint8)
    flipped = paste(background, thing, centre=(4.5, 4.5), height=9, flip=True, softness=0)
    assert_array_equal(flipped.image, image[:, ::-1])
    quarter = paste(background, thing, centre=(4.5, 4.5), height=9, degrees=90, softness=0)
    assert_array_equal(quarter.image, np.rot90(image))


def test_area_grows_with_the_square_of_the_scale() -> None:
    disc = np.hypot(*np.mgrid[-20:21, -20:21]) <= 20
    thing = cut_out(np.full((41, 41, 3), 77, np.uint8), disc)
    background = np.zeros((120, 120, 3), np.uint8)
    areas = [
        paste(background, thing, centre=(60, 60), height=h, degrees=30).mask.sum() for h in (41, 82)
    ]
    assert areas[0] == pytest.approx(disc.sum(), rel=0.02)
    assert areas[1] == pytest.approx(4 * disc.sum(), rel=0.03)


def test_a_soft_edge_mixes_and_keeps_the_inside_untouched() -> None:
    background = np.full((40, 40, 3), 100, np.uint8)
    pasted = paste(background, square(16), centre=(20, 20), height=16, softness=1.0)
    assert_array_equal(pasted.image[16:24, 16:24], np.broadcast_to(RED, (8, 8, 3)))
    assert_array_equal(pasted.image[:8], background[:8])
    edge = pasted.image[20, 11:13, 0].astype(int)  # the edge lies between columns 11 and 12
    assert 100 < edge[0] < 150 < edge[1] < 200
    assert pasted.mask.sum() == pytest.approx(256, abs=8)


def test_no_colour_of_the_old_surroundings_comes_along() -> None:
    """A white object cut from black, shrunk, over white: everything stays white."""
    image = np.zeros((60, 60, 3), np.uint8)
    mask = np.hypot(*np.mgrid[-30:30, -30:30]) < 25
    image[mask] = 255
    white = np.full((50, 50, 3), 255, np.uint8)
    pasted = paste(white, cut_out(image, mask), centre=(25, 25), height=21, degrees=17)
    assert pasted.image.min() >= 254


def test_what_hangs_over_the_border_is_lost() -> None:
    background = np.zeros((20, 20, 3), np.uint8)
    pasted = paste(background, square(), centre=(0, 0), height=8, softness=0)
    assert pasted.mask.sum() == 16
    assert pasted.mask[:4, :4].all()


def test_relight() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    image[0] = 60
    assert_array_equal(relight(image), image)
    assert_array_equal(relight(image, brightness=1.5)[:, 0, 0], [90, 150])
    assert_array_equal(relight(image, contrast=0.5)[:, 0, 0], [70, 90])  # about the mean, 80
    assert_array_equal(relight(image, warmth=1.0)[1, 0], [135, 100, 55])
    assert relight(image, brightness=5).max() == 255


def test_errors() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match=r"mask of the image's size \(4, 5\), got \(5, 4\)"):
        cut_out(image, np.ones((5, 4), bool))
    with pytest.raises(ValueError, match="without a single pixel"):
        cut_out(image, np.zeros((4, 5), bool))
    with pytest.raises(ValueError, match="positive height in pixels, got 0"):
        paste(image, square(), centre=(2, 2), height=0)
    with pytest.raises(ValueError, match=r"got \(-90, 2\) for a background of 5x4"):
        paste(image, square(), centre=(-90, 2), height=8)
