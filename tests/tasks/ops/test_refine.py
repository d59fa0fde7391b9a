"""Refinement: edges of a drawn object are found, and degenerate masks stay as they are."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tasks.ops.kinds import Refinement
from tasks.ops.refine import grabcut, refine, strong_regions


def disc(noise: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """An orange disc on a blue, noisy ground, and its exact mask."""
    rng = np.random.default_rng(0)
    mask = np.hypot(*np.mgrid[-60:60, -80:80]) < 35
    colours = np.where(mask[..., None], (220, 140, 40), (40, 70, 160))
    return np.clip(colours + rng.integers(-noise, noise, colours.shape), 0, 255).astype(
        np.uint8
    ), mask


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_grabcut_finds_the_outline_of_a_disc_from_a_mask_moved_by_three_pixels() -> None:
    image, truth = disc()
    coarse = np.roll(truth, 3, axis=1).astype(np.float32)
    refined = refine(image, coarse, "grabcut")
    assert jaccard(coarse > 0.5, truth) < 0.9
    assert jaccard(refined, truth) > 0.99


def test_grabcut_is_deterministic_whatever_the_generators_state() -> None:
    image, truth = disc(100)
    coarse = cv2.dilate(truth.astype(np.uint8), np.ones((15, 15))).astype(bool)
    cv2.setRNGSeed(5)
    first = grabcut(image, coarse)
    cv2.setRNGSeed(77)
    assert_array_equal(first, grabcut(image, coarse))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_stay(value: float) -> None:
    image, truth = disc()
    assert_array_equal(refine(image, np.full(truth.shape, value)), np.full(truth.shape, value > 0))


def test_a_mask_too_thin_to_be_sure_of_stays() -> None:
    image, truth = disc()
    thin = np.zeros_like(truth)
    thin[10, 10:100] = True
    assert_array_equal(refine(image, thin), thin)


def test_none_is_the_half_way_level() -> None:
    image = np.zeros((1, 3, 3), np.uint8)
    assert_array_equal(refine(image, np.array([[0.5, 0.51, 0.2]]), "none"), [[False, True, False]])


def test_an_image_of_one_colour_gives_a_mask_of_its_size() -> None:
    image, truth = disc()
    assert refine(np.zeros_like(image), truth).shape == truth.shape


def test_the_crf_moves_a_coarse_outline_to_the_colours() -> None:
    image, truth = disc()
    coarse = np.roll(truth, 3, axis=1).astype(np.float32)
    soft = cv2.GaussianBlur(coarse, (0, 0), 4)
    assert jaccard(soft > 0.5, truth) < 0.9
    assert jaccard(refine(image, soft, "crf"), truth) > 0.96


@pytest.mark.parametrize("method", ["grabcut", "crf"])
def test_large_images_are_refined_small_and_spread_back(method: Refinement) -> None:
    image, truth = disc()
    size = (1600, 1200)
    large = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    soft = cv2.resize(truth.astype(np.float32), size)
    mask = refine(large, soft, method)
    assert mask.shape == (1200, 1600)
    assert jaccard(mask, soft > 0.5) > 0.95


def test_regions_stay_by_their_peak() -> None:
    soft = np.zeros((5, 9), np.float32)
    soft[1, 1:3], soft[1, 2] = 0.6, 0.9
    soft[3, 5], soft[3, 7] = 0.8, 0.7
    kept = np.zeros((5, 9), bool)
    kept[1, 1:3] = True
    assert_array_equal(strong_regions(soft, 0.9), kept)
    kept[3, 5] = True
    assert_array_equal(strong_regions(soft, 0.85), kept)  # 0.8 of 0.9 is 0.89, 0.7 is 0.78
    assert_array_equal(strong_regions(soft, 0.0), soft > 0.5)
    assert not strong_regions(np.full((3, 3), 0.4, np.float32), 0.5).any()


def test_refinements_drop_weak_regions() -> None:
    image, truth = disc()
    soft = truth.astype(np.float32)
    soft[5:25, 5:25] = 0.6
    assert jaccard(refine(image, soft, "grabcut", strongest=0.85), truth) > 0.98
    assert not refine(image, soft, "grabcut", strongest=0.85)[5:25, 5:25].any()
    assert refine(image, soft, "none", strongest=0.85)[5:25, 5:25].all()


def test_bad_calls_are_refused() -> None:
    image, truth = disc()
    with pytest.raises(ValueError, match="one size; got"):
        refine(image, truth[1:])
    with pytest.raises(ValueError, match="one of grabcut, crf, none; got 'crf2'"):
        refine(image, truth, "crf2")  # type: ignore[arg-type]
