"""Consensus on the common object: by hand, against literal sums, and on drawn sets."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from tasks.ops.consensus import (
    Consensus,
    Linear,
    commonness,
    consensus_foreground,
    decide,
    ridge,
    salient_share,
)
from tasks.ops.patch_grid import unit


def a_set(images: int = 8, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Descriptors, saliency, image and kind of patches: 0 ground, 1 object, 2 clutter.

    Object and clutter are equally salient; the object's axis is the same in all images, each
    image's clutter has one of its own.
    """
    rng = np.random.default_rng(seed)
    kind = np.tile(np.repeat([0, 1, 2], [60, 30, 10]), images)
    image = np.repeat(np.arange(images), 100)
    axes = np.where(kind < 2, kind, 2 + image)
    descriptors = unit(np.eye(24)[axes] + 0.08 * rng.normal(size=(len(axes), 24)))
    return descriptors, np.where(kind > 0, 0.5, 0.05), image, kind


def decided(found: Consensus, descriptors: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Foreground of all patches, each image decided for itself."""
    values = np.empty(len(image), np.float32)
    for number in np.unique(image):
        values[image == number] = decide(found.decision, descriptors[image == number])
    return values


def test_the_common_object_is_told_from_clutter_as_salient() -> None:
    descriptors, saliency, image, kind = a_set()
    found = consensus_foreground(descriptors, saliency, image)
    foreground = decided(found, descriptors, image)
    assert ((foreground > 0.5) == (kind == 1)).mean() > 0.99
    assert (found.salient[kind == 1] > 0.9).all()
    # Clutter that passed as salient is less common than any patch of the object.
    assert found.commonness[kind == 1].min() > np.nanmax(found.commonness[kind == 2], initial=0)


def test_one_image_keeps_all_that_is_salient() -> None:
    descriptors, saliency, image, kind = a_set(1)
    found = consensus_foreground(descriptors, saliency, image)
    foreground = decided(found, descriptors, image) > 0.5
    assert foreground[kind == 1].all()
    assert not foreground[kind == 0].any()
    assert np.isnan(found.commonness).all()


def test_identical_images_lose_nothing_to_commonness() -> None:
    descriptors, saliency, _, kind = (part[:100] for part in a_set(1))
    image = np.repeat(np.arange(3), 100)
    found = consensus_foreground(np.tile(descriptors, (3, 1)), np.tile(saliency, 3), image)
    assert (decided(found, descriptors, np.zeros(100, int)) > 0.5)[kind == 1].all()


def test_no_saliency_and_one_descriptor_give_an_empty_foreground() -> None:
    descriptors, _, image, _ = a_set()
    nothing = consensus_foreground(descriptors, np.zeros(800), image)
    assert not decided(nothing, descriptors, image).any()
    same = np.tile(unit(np.ones(8)), (50, 1))
    one = np.zeros(50, int)
    assert not decided(consensus_foreground(same, np.ones(50), one), same, one).any()


def test_scaled_saliency_changes_nothing_and_equal_calls_are_equal() -> None:
    descriptors, saliency, image, _ = a_set()
    first = consensus_foreground(descriptors, saliency, image)
    dim = consensus_foreground(descriptors, 0.01 * saliency, image)
    assert_array_equal(first.decision.weights, dim.decision.weights)
    assert first.decision.level == dim.decision.level


def test_an_image_is_decided_half_by_itself() -> None:
    rng = np.random.default_rng(2)
    units = unit(rng.normal(size=(6, 5, 4)))
    rule = Linear(np.array([2.0, 0, 0, 0], np.float32), 0.5)
    common = np.clip(2 * units[..., 0] + 0.5, 0, 1)
    own = ridge(units.reshape(30, 4), (common > 0.5).ravel(), 1.0)(units)
    assert_allclose(decide(rule, units), (common + np.clip(own, 0, 1)) / 2, atol=1e-6)
    assert not decide(Linear(np.zeros(4, np.float32), 0.0), units).any()


def test_clusterings_without_a_salient_cluster_have_no_say() -> None:
    points = np.repeat(np.eye(2, dtype=np.float32), [6, 2], axis=0)
    saliency = np.repeat([0.0, 1.0], [6, 2])
    # One cluster cannot be salient against the set's own mean; two can.
    share = salient_share(points, saliency, ratio=1.5, clusters=(1, 2))
    assert_array_equal(share, np.repeat([0.0, 1.0], [6, 2]))


def test_commonness_equals_the_literal_mean_of_best_matches() -> None:
    rng = np.random.default_rng(4)
    points = unit(rng.normal(size=(30, 5)))
    image = np.repeat(np.arange(3), 10)
    candidates = rng.random(30) < 0.6
    found = commonness(points, candidates, image)
    for i in np.flatnonzero(candidates):
        others = [
            max(points[i] @ points[j] for j in np.flatnonzero(candidates & (image == b)))
            for b in range(3)
            if b != image[i]
        ]
        assert found[i] == pytest.approx(np.mean(others), abs=1e-6)
    assert np.isnan(found[~candidates]).all()


def test_ridge_equals_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    points, target = rng.normal(size=(200, 6)) * np.arange(1, 7), rng.random(200)
    alpha = 0.7 * np.var(points, axis=0).mean() * 200
    model = Ridge(alpha=alpha).fit(points, target)
    found = ridge(points, target, 0.7)
    assert_allclose(found(points), model.predict(points), atol=1e-5)
    assert_allclose(found.weights, model.coef_, atol=1e-5)


def test_lengths_must_agree() -> None:
    with pytest.raises(
        ValueError, match="one entry for each of at least one patch; got 3, 2 and 3"
    ):
        consensus_foreground(np.ones((3, 2)), np.ones(2), np.zeros(3, int))
