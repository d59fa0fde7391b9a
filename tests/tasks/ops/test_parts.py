"""Parts: groups by hand, three stages against strays, labels on drawn pictures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tasks.ops.kmeans import assign
from tasks.ops.log_bin import log_bin
from tasks.ops.parts import (
    PartCodebook,
    crop_boxes,
    find_parts,
    fit_surroundings,
    label_parts,
    part_energies,
    part_region,
)
from tasks.ops.patch_grid import unit


def patches(counts: dict[int, int], seed: int = 0) -> np.ndarray:
    """Unit descriptors around axes of 8 dimensions, so many around each."""
    rng = np.random.default_rng(seed)
    axes = np.repeat(list(counts), list(counts.values()))
    return unit(np.eye(8)[axes] + 0.05 * rng.normal(size=(len(axes), 8)))


def test_parts_are_the_groups_of_the_foreground_largest_first() -> None:
    descriptors = patches({0: 100, 1: 30, 2: 60})
    foreground = np.repeat([False, True], [100, 90])
    book = find_parts(descriptors, foreground, np.zeros(190, int), parts=2)
    assert_allclose(unit(book.centers), np.eye(8)[[2, 1]], atol=0.1)
    assert_array_equal(assign(descriptors[foreground], book.centers), np.repeat([1, 0], [30, 60]))


def test_equal_calls_give_equal_parts_in_equal_order() -> None:
    descriptors = patches({1: 40, 2: 50, 3: 60})
    everything, image = np.ones(150, bool), np.zeros(150, int)
    first, second = (find_parts(descriptors, everything, image, parts=3) for _ in range(2))
    assert_array_equal(first.centers, second.centers)


def test_the_elbow_finds_how_many() -> None:
    descriptors = patches({0: 60, 1: 60, 2: 60})
    book = find_parts(descriptors, np.ones(180, bool), np.zeros(180, int), parts=None, elbow=0.8)
    # The elbow keeps the first number that hardly helps: a group is split in two.
    assert len(book.centers) == 4


def test_three_stages_drop_what_only_one_image_has() -> None:
    shared = [patches({0: 40, 1: 40}, seed) for seed in range(4)]
    stray = patches({5: 60})
    descriptors = np.concatenate([*shared, stray])
    image = np.concatenate([np.repeat(np.arange(4), 80), np.zeros(60, int)])
    everything = np.ones(len(image), bool)
    two = find_parts(descriptors, everything, image, parts=3)
    three = find_parts(descriptors, everything, image, parts=2, stages=3)
    assert np.abs(two.centers @ np.eye(8)[5]).max() > 0.9
    assert np.abs(three.centers @ np.eye(8)[5]).max() < 0.1


def test_a_part_that_is_too_small_is_dissolved_with_a_warning() -> None:
    descriptors = patches({0: 100, 1: 100, 2: 4})
    book = find_parts(descriptors, np.ones(204, bool), np.zeros(204, int), parts=3)
    assert len(book.centers) == 2
    assert book.warnings == ("2 parts instead of 3: the others were too small",)


def test_no_foreground_means_no_parts() -> None:
    book = find_parts(patches({0: 9}), np.zeros(9, bool), np.zeros(9, int))
    assert book.centers.shape == (0, 8)
    assert book.warnings[0].startswith("no foreground")
    energies = part_energies(np.ones((3, 3, 8)), book)
    labels = label_parts(np.zeros((3, 3, 3), np.uint8), energies, np.ones((3, 3), bool))
    assert_array_equal(labels, np.zeros((3, 3)))


def test_energies_are_squared_distances() -> None:
    book = PartCodebook(np.array([[1.0, 0], [0, 1]], dtype=np.float32))
    assert_allclose(part_energies(np.array([[[1.0, 0], [0.6, 0.8]]]), book), [[[0, 2], [0.8, 0.4]]])


def test_labels_follow_colours_inside_the_mask_only() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = 255
    energies = np.zeros((40, 60, 2), np.float32)
    energies[:, :28, 1] = energies[:, 28:, 0] = 0.3  # two columns off the edge
    mask = np.zeros((40, 60), bool)
    mask[5:35, 5:55] = True
    labels = label_parts(image, energies, mask)
    assert (labels[~mask] == 0).all()
    assert (labels[5:35, 5:27] == 1).all()
    assert (labels[5:35, 33:55] == 2).all()
    assert set(np.unique(labels)) == {0, 1, 2}


def test_surroundings_keep_the_inner_products_of_log_bins() -> None:
    rng = np.random.default_rng(1)
    maps = [unit(rng.normal(size=(5, 6, 3))) for _ in range(2)]
    around = fit_surroundings(maps, 2)
    built = [unit(log_bin(one, 2)).reshape(30, -1) for one in maps]
    seen = [around.see(one).reshape(30, -1) for one in maps]
    # 60 patches have at most 51 = 17 x 3 directions: nothing is lost.
    assert_allclose(seen[0] @ seen[1].T, built[0] @ built[1].T, atol=1e-5)
    alone = fit_surroundings(maps, 0).see(maps[0]).reshape(30, -1)
    flat = maps[0].reshape(30, -1)
    assert_allclose(alone @ alone.T, flat @ flat.T, atol=1e-5)


def test_the_region_of_parts_is_wider_by_the_margin() -> None:
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    coarse = np.zeros_like(mask)
    wide = part_region(mask, coarse, 4.0)
    rows, cols = np.nonzero(wide)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (6, 14, 6, 14)
    assert_array_equal(part_region(mask, coarse, 0.0), mask)
    coarse[0, 0] = True
    assert part_region(mask, coarse, 0.0)[0, 0]


def test_crops_lie_inside_and_differ() -> None:
    boxes = crop_boxes(100, 50, 20, seed=1)
    assert all(r - left == 95 and b - top == 48 for left, top, r, b in boxes)
    assert all(left >= 0 and top >= 0 and r <= 100 and b <= 50 for left, top, r, b in boxes)
    assert len(set(boxes)) > 5


def test_four_stages_are_refused() -> None:
    with pytest.raises(ValueError, match="2 or 3 stages; got 4"):
        find_parts(patches({0: 3}), np.ones(3, bool), np.zeros(3, int), stages=4)
